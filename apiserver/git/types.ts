import type { Dispatcher } from 'undici';

/** What users look up at a git provider, in the words of the API's answers. */
export interface Repository {
  id: string;
  full_name: string;
  git_provider: string;
  is_public: boolean;
  stargazers_count: number | null;
  link_header: null;
  pushed_at: string | null;
  owner_type: 'user' | 'organization' | null;
  main_branch: string | null;
}

export interface Branch {
  name: string;
  commit_sha: string;
  protected: boolean;
  last_push_date: string | null;
}

export interface Account {
  id: string;
  login: string;
  avatar_url: string;
  company: string | null;
  name: string | null;
  email: string | null;
}

export interface Task {
  git_provider: string;
  task_type: string;
  repo: string;
  issue_number: number;
  title: string;
}

/** One page, and whether there is another. */
export interface Found<Item> {
  items: Item[];
  more: boolean;
}

export interface Place {
  /** From 1. */
  page: number;
  size: number;
}

export interface RepositoryQuery extends Place {
  query: string;
  /** `updated-desc` and its like; undefined: last pushed to first. */
  sort: string | undefined;
}

export interface BranchQuery extends Place {
  repository: string;
  query: string;
}

/** A request to merge one branch into another, by whatever name the provider calls it. */
export interface PullRequest {
  repository: string;
  source: string;
  target: string;
  title: string;
  body: string;
  /** Where the provider knows drafts. */
  draft: boolean;
  labels: string[];
}

export interface Opened {
  /** Its page. */
  url: string;
  number: number;
}

/** One provider as one user sees it. All calls reject with ApiError. */
export interface GitProvider {
  account(): Promise<Account>;
  repositories(query: RepositoryQuery): Promise<Found<Repository>>;
  branches(query: BranchQuery): Promise<Found<Branch>>;
  tasks(): Promise<Task[]>;
  /** Groups that own repositories, where the provider has such a list. */
  installations(): Promise<string[]>;
  openPullRequest(wanted: PullRequest): Promise<Opened>;
}

export interface Access {
  token: string;
  /** `github.com`, or the user's own host. */
  host: string;
  /** What its requests go through: it knows where they may go. */
  dispatcher: Dispatcher;
}

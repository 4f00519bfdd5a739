-- CreateTable
CREATE TABLE "users" (
    "id" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "settings" (
    "owner_id" TEXT NOT NULL,
    "sealed" TEXT NOT NULL,
    "revision" INTEGER NOT NULL DEFAULT 1,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "settings_pkey" PRIMARY KEY ("owner_id")
);

-- CreateTable
CREATE TABLE "secrets" (
    "owner_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "description" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "secrets_pkey" PRIMARY KEY ("owner_id","name")
);

-- CreateTable
CREATE TABLE "provider_tokens" (
    "owner_id" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "token" TEXT NOT NULL,
    "host" TEXT,

    CONSTRAINT "provider_tokens_pkey" PRIMARY KEY ("owner_id","provider")
);

-- CreateTable
CREATE TABLE "conversations" (
    "id" TEXT NOT NULL,
    "owner_id" TEXT NOT NULL,
    "sandbox_id" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "selected_repository" TEXT,
    "selected_branch" TEXT,
    "git_provider" TEXT,
    "trigger" TEXT,
    "pr_number" INTEGER[],
    "llm_model" TEXT,
    "agent_kind" TEXT NOT NULL DEFAULT 'openhands',
    "metrics" JSONB,
    "parent_id" TEXT,
    "public" BOOLEAN,
    "tags" JSONB NOT NULL DEFAULT '{}',
    "execution_status" TEXT,
    "working_dir" TEXT NOT NULL,
    "caught_up_to" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "conversations_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "start_tasks" (
    "id" TEXT NOT NULL,
    "owner_id" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "detail" TEXT,
    "conversation_id" TEXT NOT NULL,
    "sandbox_id" TEXT,
    "made_sandbox" BOOLEAN NOT NULL DEFAULT false,
    "agent_server_url" TEXT,
    "request" JSONB NOT NULL,
    "secrets" TEXT,
    "notes" JSONB NOT NULL DEFAULT '{}',
    "worker" TEXT,
    "lease_until" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "start_tasks_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "events" (
    "conversation_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "owner_id" TEXT NOT NULL,
    "seq" BIGSERIAL NOT NULL,
    "kind" TEXT NOT NULL,
    "timestamp" TEXT COLLATE "C" NOT NULL,
    "body" TEXT NOT NULL,

    CONSTRAINT "events_pkey" PRIMARY KEY ("conversation_id","id")
);

-- CreateTable
CREATE TABLE "pending_messages" (
    "id" TEXT NOT NULL,
    "owner_id" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "seq" BIGSERIAL NOT NULL,
    "role" TEXT NOT NULL,
    "content" JSONB NOT NULL,
    "attempted_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "pending_messages_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "conversations_owner_id_created_at_id_idx" ON "conversations"("owner_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "conversations_sandbox_id_idx" ON "conversations"("sandbox_id");

-- CreateIndex
CREATE INDEX "conversations_parent_id_idx" ON "conversations"("parent_id");

-- CreateIndex
CREATE INDEX "start_tasks_owner_id_created_at_id_idx" ON "start_tasks"("owner_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "start_tasks_conversation_id_idx" ON "start_tasks"("conversation_id");

-- CreateIndex
CREATE INDEX "start_tasks_status_lease_until_idx" ON "start_tasks"("status", "lease_until");

-- CreateIndex
CREATE INDEX "events_conversation_id_timestamp_seq_idx" ON "events"("conversation_id", "timestamp", "seq");

-- CreateIndex
CREATE INDEX "pending_messages_target_seq_idx" ON "pending_messages"("target", "seq");

import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';

/** What a frontend asks before it draws anything. Says only what is there: no telemetry, billing, integrations or ACP agents. */
export function webClientRoutes(app: Api, { clock }: Deps): void {
  const started = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  app.get('/api/v1/web-client/config', () => ({
    app_mode: 'oss',
    posthog_client_key: null,
    feature_flags: {
      enable_billing: false,
      hide_llm_settings: false,
      enable_jira: false,
      enable_jira_dc: false,
      enable_linear: false,
      hide_users_page: false,
      hide_billing_page: false,
      hide_integrations_page: false,
      hide_personal_workspaces: false,
      allow_user_llm_configuration: true,
      enable_acp: false,
      deployment_mode: null,
      enable_onboarding: false,
      enable_automations: false,
    },
    providers_configured: [],
    maintenance_start_time: null,
    auth_url: null,
    recaptcha_site_key: null,
    faulty_models: [],
    error_message: null,
    updated_at: started,
    github_app_slug: null,
    gitlab_enabled: false,
    provider_default_hosts: {
      github: 'github.com',
      gitlab: 'gitlab.com',
      bitbucket: 'bitbucket.org',
      forgejo: 'codeberg.org',
      azure_devops: 'dev.azure.com',
    },
    slack_enabled: false,
    email_enabled: false,
    acp_providers: [],
    jira_dc_oauth_host: null,
    jira_dc_service_account_managed: false,
    jira_dc_service_account_email: null,
    jira_dc_service_account_config_error: null,
    kind: 'WebClientConfig',
  }));
}

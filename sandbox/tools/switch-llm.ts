/** Lets the agent go on with another saved model. */
import { z } from 'zod';
import { text, type Models, type Tool } from './tool.js';

const schema = z.strictObject({
  profile_name: z.string().describe('The profile to go on with, as it is listed.'),
  reason: z.string().describe('Why it suits the next steps better, in a few words.'),
});

const DESCRIPTION =
  'Goes on with another saved model (profile) from the next step on. Use it when one of these suits what comes next better, or when the user asks for it.';

export function createSwitchTool(models: Models | undefined): Tool {
  const tool: Tool = {
    name: 'switch_llm',
    kind: 'SwitchLLMTool',
    actionKind: 'SwitchLLMAction',
    observationKind: 'SwitchLLMObservation',
    description: DESCRIPTION,
    annotations: {
      title: 'switch_llm',
      readOnlyHint: false,
      destructiveHint: false,
      idempotentHint: false,
      openWorldHint: false,
    },
    schema,
    async prepare() {
      const names = (await models?.names()) ?? [];
      const list = names.length === 0 ? '(none is saved at present)' : names.map((name) => `- ${name}`).join('\n');
      tool.description = `${DESCRIPTION}\n\nProfiles:\n${list}`;
    },
    async run(action) {
      const { kind: _kind, ...fields } = action;
      const { profile_name: name, reason } = schema.parse(fields);
      const model = await models?.use(name);
      const said =
        model === undefined
          ? `There is no LLM profile '${name}'. Profiles: ${((await models?.names()) ?? []).join(', ') || 'none'}.`
          : `From the next step on, profile '${name}' (${model}) is used.`;
      return {
        kind: 'SwitchLLMObservation',
        content: [text(said)],
        is_error: model === undefined,
        profile_name: name,
        reason,
        active_model: model ?? null,
      };
    },
  };
  return tool;
}

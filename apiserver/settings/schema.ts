/** The two descriptions from which the settings pages draw their forms. */
import {
  ACP,
  CONDENSER,
  CONVERSATION_GENERAL,
  CONVERSATION_VERIFICATION,
  GENERAL,
  LLM,
  VERIFICATION,
  type Field,
} from './fields.js';

interface Section {
  key: string;
  label: string;
  variant: string | null;
  fields: unknown[];
}

function section(
  key: string,
  label: string,
  fields: Field[],
  variants: { own: string | null; fields?: string | null },
): Section {
  const fieldVariant = variants.fields === undefined ? variants.own : variants.fields;
  return { key, label, variant: variants.own, fields: fields.map((field) => shown(field, key, label, fieldVariant)) };
}

function shown(field: Field, section: string, sectionLabel: string, variant: string | null): unknown {
  return {
    key: field.key,
    label: field.label,
    description: field.description,
    section,
    section_label: sectionLabel,
    value_type: field.type,
    default: field.default,
    prominence: field.prominence,
    depends_on: field.dependsOn,
    secret: field.secret,
    choices: field.choices.map((value) => ({ value, label: value })),
    variant,
  };
}

const openhands = { own: 'openhands' };
export const agentSchema = {
  model_name: 'AgentSettings',
  sections: [
    section('general', 'General', GENERAL, { own: null, fields: 'openhands' }),
    section('llm', 'LLM', LLM, openhands),
    section('condenser', 'Condenser', CONDENSER, openhands),
    section('verification', 'Verification', VERIFICATION, openhands),
    section('acp', 'ACP (Agent Client Protocol)', ACP, { own: 'acp' }),
    section('llm', 'LLM (for metrics)', LLM, { own: 'acp' }),
  ],
};

export const conversationSchema = {
  model_name: 'ConversationSettings',
  sections: [
    section('general', 'General', CONVERSATION_GENERAL, { own: null }),
    section('verification', 'Verification', CONVERSATION_VERIFICATION, { own: null }),
  ],
};

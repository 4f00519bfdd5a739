import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { saveSettings, searchModels, type Settings } from '../api/platform';
import { KeysSection } from './KeysSection';
import { Field } from '../parts/Field';
import { Problem } from '../parts/Problem';
import { LINE_RUNNER, readSettings } from '../parts/settings';
import { useTitle } from '../parts/useTitle';

export function SettingsPage() {
  useTitle('Settings');
  const settings = useQuery({ queryKey: ['settings'], queryFn: readSettings });
  return (
    <div className="page">
      <h1>Settings</h1>
      <Problem error={settings.error} />
      {settings.isSuccess ? <ModelForm settings={settings.data} /> : null}
      <KeysSection />
    </div>
  );
}

function ModelForm({ settings }: { settings: Settings | null }) {
  const llm = settings?.agent_settings.llm;
  const [model, setModel] = useState(llm?.model ?? LINE_RUNNER);
  const [baseUrl, setBaseUrl] = useState(llm?.base_url ?? '');
  const [apiKey, setApiKey] = useState('');
  const [confirmation, setConfirmation] = useState(settings?.conversation_settings?.confirmation_mode ?? false);
  const models = useQuery({ queryKey: ['models'], queryFn: searchModels, staleTime: Infinity });
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: saveSettings,
    onSuccess: () => {
      setApiKey('');
      return queries.invalidateQueries({ queryKey: ['settings'] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    // Fields left out keep their value; an empty key must not erase the stored one.
    save.mutate({
      agent_settings_diff: {
        llm: {
          model: model.trim(),
          base_url: baseUrl.trim() === '' ? null : baseUrl.trim(),
          ...(apiKey === '' ? {} : { api_key: apiKey }),
        },
      },
      conversation_settings_diff: { confirmation_mode: confirmation },
    });
  };
  const keyless = model.trim() === LINE_RUNNER;
  return (
    <form className="settings" onSubmit={submit}>
      <Field
        label="Model"
        hint={`provider/name, for example anthropic/claude-sonnet-4-6 or openai/gpt-5.5. ${LINE_RUNNER} needs no key: it runs the lines that you write as shell commands and claims no intelligence.`}
      >
        {(field) => (
          <input {...field} value={model} onChange={(event) => setModel(event.target.value)} list="models" required />
        )}
      </Field>
      <datalist id="models">
        <option value={LINE_RUNNER} />
        {models.data?.items.map((item) => (
          <option
            key={`${item.provider ?? ''}/${item.name}`}
            value={item.provider == null ? item.name : `${item.provider}/${item.name}`}
          />
        ))}
      </datalist>
      <Field label="Base URL" hint="Optional; for a proxy or a local model.">
        {(field) => (
          <input
            {...field}
            type="url"
            value={baseUrl}
            onChange={(event) => setBaseUrl(event.target.value)}
            disabled={keyless}
            placeholder="https://…/v1"
          />
        )}
      </Field>
      <Field
        label="API key"
        hint={settings?.llm_api_key_set === true ? 'One is stored; leave this empty to keep it.' : 'Stored encrypted.'}
      >
        {(field) => (
          <input
            {...field}
            type="password"
            autoComplete="off"
            value={apiKey}
            onChange={(event) => setApiKey(event.target.value)}
            disabled={keyless}
          />
        )}
      </Field>
      <label className="check">
        <input type="checkbox" checked={confirmation} onChange={(event) => setConfirmation(event.target.checked)} />
        Ask me before each action
      </label>
      <p className="hint">Used by conversations that you start from now on.</p>
      <button className="primary" type="submit" disabled={save.isPending}>
        Save
      </button>
      {save.isSuccess ? <p role="status">Saved.</p> : null}
      <Problem error={save.error} />
    </form>
  );
}

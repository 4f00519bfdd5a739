{{- define "sandlot.labels" -}}
app.kubernetes.io/part-of: sandlot
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Labels that select one program's pods. Usage: include "sandlot.selector" (list . "operator") */ -}}
{{- define "sandlot.selector" -}}
app.kubernetes.io/name: {{ printf "sandlot-%s" (index . 1) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{- /* Names of the operators' Deployments, one a shard, joined by commas. */ -}}
{{- define "sandlot.operators" -}}
{{- $names := list "operator" }}
{{- range $index := until (int .Values.operator.shards) }}
{{- if $index }}{{ $names = append $names (printf "operator-%d" $index) }}{{ end }}
{{- end }}
{{- join "," $names }}
{{- end }}

{{- define "sandlot.name" -}}
{{ printf "%s-%s" ((index . 0).Release.Name | trunc 40 | trimSuffix "-") (index . 1) }}
{{- end }}

{{- define "sandlot.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sandlot.sandboxImage" -}}
{{ .Values.sandboxImage.repository }}:{{ .Values.sandboxImage.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sandlot.secretName" -}}
{{ .Values.existingSecret | default (include "sandlot.name" (list . "secret")) }}
{{- end }}

{{- define "sandlot.singleUser" -}}
{{ and .Values.apiServer.enabled (eq .Values.identity.mode "single-user") | ternary "true" "" }}
{{- end }}

{{- /* Host of the UI's page, and of single-user mode where it is forwarded to. */ -}}
{{- define "sandlot.uiOrigins" -}}
{{- $origins := .Values.uiOrigins }}
{{- if include "sandlot.singleUser" . }}
{{- $origins = concat $origins (list "http://localhost:3000" "http://127.0.0.1:3000") }}
{{- else if .Values.apiServer.enabled }}
{{- $origins = append $origins (printf "%s://%s" .Values.protocol .Values.apiServer.host) }}
{{- end }}
{{- join "," ($origins | uniq) }}
{{- end }}

{{- /* The API server's users. Single-user mode listens on loopback: only who may forward a port of the pod gets in. */ -}}
{{- define "sandlot.identityEnv" -}}
- { name: SANDLOT_IDENTITY, value: {{ .Values.identity.mode }} }
{{- if include "sandlot.singleUser" . }}
- { name: SANDLOT_HOST, value: 127.0.0.1 }
{{- else }}
{{- $oidc := .Values.identity.oidc }}
- { name: SANDLOT_HOST, value: 0.0.0.0 }
- { name: SANDLOT_PUBLIC_URL, value: {{ printf "%s://%s" .Values.protocol .Values.apiServer.host | quote }} }
- { name: SANDLOT_OIDC_ISSUER, value: {{ $oidc.issuer | quote }} }
- { name: SANDLOT_OIDC_CLIENT_ID, value: {{ $oidc.clientId | quote }} }
{{- with $oidc.existingSecret }}
- name: SANDLOT_OIDC_CLIENT_SECRET
  valueFrom: { secretKeyRef: { name: {{ . }}, key: client-secret } }
{{- end }}
- { name: SANDLOT_OIDC_SCOPES, value: {{ $oidc.scopes | quote }} }
- { name: SANDLOT_OIDC_GROUPS_CLAIMS, value: {{ join "," $oidc.groupsClaims | quote }} }
- { name: SANDLOT_OIDC_ALLOWED_GROUPS, value: {{ join "," $oidc.allowedGroups | quote }} }
- { name: SANDLOT_OIDC_ALLOWED_EMAILS, value: {{ join "," $oidc.allowedEmails | quote }} }
- { name: SANDLOT_OIDC_ADMIN_GROUPS, value: {{ join "," $oidc.adminGroups | quote }} }
{{- end }}
{{- end }}

{{- define "sandlot.archiveEnv" -}}
- { name: SANDLOT_ARCHIVE, value: {{ .url | quote }} }
- { name: SANDLOT_ARCHIVE_DAYS, value: {{ int .days | quote }} }
{{- with .endpoint }}
- { name: SANDLOT_ARCHIVE_ENDPOINT, value: {{ . | quote }} }
{{- end }}
{{- with .region }}
- { name: SANDLOT_ARCHIVE_REGION, value: {{ . | quote }} }
{{- end }}
{{- with .existingSecret }}
{{- range $name, $key := dict "SANDLOT_ARCHIVE_AZURE_CONNECTION_STRING" "connection-string" "AWS_ACCESS_KEY_ID" "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $.existingSecret }}, key: {{ $key }}, optional: true } }
{{- end }}
{{- end }}
{{- end }}

{{- define "sandlot.gatewayEnv" -}}
- { name: SANDLOT_GATEWAY_DOMAIN, value: {{ .Values.gateway.domain | quote }} }
- { name: SANDLOT_GATEWAY_PROTOCOL, value: {{ .Values.protocol | quote }} }
- { name: SANDLOT_GATEWAY_FORM, value: {{ .Values.gateway.form | quote }} }
{{- end }}

{{- define "sandlot.commonEnv" -}}
- { name: SANDLOT_NAMESPACE, value: {{ .Release.Namespace | quote }} }
- name: SANDLOT_SECRET
  valueFrom: { secretKeyRef: { name: {{ include "sandlot.secretName" . }}, key: secret } }
- { name: LOG_JSON, value: {{ .Values.logJson | quote }} }
- { name: SANDLOT_HEALTH_HOST, value: 0.0.0.0 }
- { name: SANDLOT_HEALTH_PORT, value: '9090' }
{{- end }}

{{- /* What every program's pod has. Usage: include "sandlot.podSpec" (list . "operator" ["account, if another"]) */ -}}
{{- define "sandlot.podSpec" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "sandlot.name" (list $root (last .)) }}
securityContext: {{- include "sandlot.podSecurity" $root | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.scheduling.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "sandlot.selector" . | nindent 8 }}
{{- end }}

{{- /* What every program's container has. Usage: include "sandlot.container" (list . "operator") */ -}}
{{- define "sandlot.container" -}}
{{- $root := index . 0 -}}
image: {{ include "sandlot.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: [{{ index . 1 }}]
securityContext: {{- include "sandlot.containerSecurity" $root | nindent 2 }}
{{- include "sandlot.probes" $root | nindent 0 }}
{{- end }}

{{/* Between the end of a pod's place in EndpointSlices and every proxy's knowing of it: it serves on, or new connections would be refused. */}}
{{- define "sandlot.leave" -}}
lifecycle: { preStop: { sleep: { seconds: 5 } } }
{{- end }}

{{- define "sandlot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "sandlot.containerSecurity" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "sandlot.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

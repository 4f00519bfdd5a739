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

{{- define "sandlot.name" -}}
{{ printf "%s-%s" (index . 0).Release.Name (index . 1) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sandlot.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sandlot.secretName" -}}
{{ .Values.existingSecret | default (include "sandlot.name" (list . "secret")) }}
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
- { name: SANDLOT_UI_ORIGINS, value: {{ join "," .Values.uiOrigins | quote }} }
{{- end }}

{{- /* What every program's pod has: restricted security, one container. Usage: include "sandlot.podSecurity" . */ -}}
{{- define "sandlot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "sandlot.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "sandlot.probes" -}}
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

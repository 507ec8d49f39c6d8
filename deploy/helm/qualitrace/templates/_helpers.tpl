{{- define "qualitrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /*
At most 50 characters: suffixes, the pod's ordinal and a revision's hash come to it, and a label has 63. Longer names end
in a hash, so that two releases that begin alike have two names. Helm allows dots, a Service's name does not.
*/}}
{{- define "qualitrace.fullname" -}}
{{- $name := include "qualitrace.name" . }}
{{- $long := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $whole := default $long .Values.fullnameOverride | replace "." "-" }}
{{- if gt (len $whole) 50 }}
{{- $whole = printf "%s-%s" (trunc 41 $whole | trimSuffix "-") (sha256sum $whole | trunc 8) }}
{{- end }}
{{- $whole }}
{{- end }}

{{- define "qualitrace.selectorLabels" -}}
app.kubernetes.io/name: {{ include "qualitrace.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "qualitrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "qualitrace.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "qualitrace.serviceAccountName" -}}
{{- default (ternary (include "qualitrace.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "qualitrace.secretName" -}}
{{- default (include "qualitrace.fullname" .) .Values.secret.existing }}
{{- end }}

{{- define "qualitrace.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* `http` or `https` for OTLP. */}}
{{- define "qualitrace.scheme" -}}
{{- ternary "https" "http" (or (ne .Values.tls.existingSecret "") (not (empty (((.Values.config).otlp).tls)))) }}
{{- end }}

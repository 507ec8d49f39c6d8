{{- /* The configuration: the values' `config`, and what the pod needs where they say nothing. */}}
{{- define "qualitrace.config" -}}
{{- $config := default dict .Values.config | deepCopy }}
{{- $given := default dict $config.listen }}
{{- $hosts := concat (include "qualitrace.hosts" . | fromJsonArray) (default list $given.allowed_hosts) | uniq }}
{{- $listen := dict "otlp_http" "0.0.0.0:4318" "otlp_grpc" "0.0.0.0:4317" "web" "0.0.0.0:9464" }}
{{- range $setting, $key := dict "web_token" "web-token" "web_read_token" "web-read-token" }}
{{- if not (or (hasKey $given $setting) (hasKey $given (printf "%s_file" $setting))) }}
{{- $_ := set $listen (printf "%s_file" $setting) (printf "/run/secrets/qualitrace/%s" $key) }}
{{- end }}
{{- end }}
{{- $_ := set $config "listen" (mergeOverwrite $listen $given (dict "allowed_hosts" $hosts)) }}
{{- $otlp := default dict $config.otlp }}
{{- with .Values.tls }}
{{- if .existingSecret }}
{{- $files := dict "cert_file" "/run/secrets/qualitrace-tls/tls.crt" "key_file" "/run/secrets/qualitrace-tls/tls.key" }}
{{- if .clientCa }}
{{- $_ := set $files "client_ca_file" "/run/secrets/qualitrace-tls/ca.crt" }}
{{- end }}
{{- $_ := set $otlp "tls" $files }}
{{- end }}
{{- end }}
{{- if include "qualitrace.ownOtlpToken" . }}
{{- $_ := set $otlp "tokens" (list (dict "token_file" "/run/secrets/qualitrace/otlp-token")) }}
{{- end }}
{{- $_ := set $config "otlp" $otlp }}
{{- if not $config.data_dir }}
{{- $_ := set $config "data_dir" "/var/lib/qualitrace/data" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* Whether senders prove themselves with the token `otlp-token`: unless the values say how they do. */}}
{{- define "qualitrace.ownOtlpToken" -}}
{{- $otlp := default dict (.Values.config).otlp }}
{{- if not (or (hasKey $otlp "tokens") $otlp.allow_unauthenticated .Values.tls.clientCa (($otlp.tls).client_ca_file)) }}yes{{ end }}
{{- end }}

{{- /*
The names under which the web port and OTLP/HTTP answer. Prometheus scrapes the pod by its address. The kubelet's probes
do, too, but /readyz answers to any address.
*/}}
{{- define "qualitrace.hosts" -}}
{{- $hosts := list "${env:POD_IP}" }}
{{- range $service := list (include "qualitrace.fullname" .) (printf "%s-web" (include "qualitrace.fullname" .)) }}
{{- range $suffix := list "" (printf ".%s" $.Release.Namespace) (printf ".%s.svc" $.Release.Namespace) (printf ".%s.svc.%s" $.Release.Namespace $.Values.clusterDomain) }}
{{- $hosts = append $hosts (printf "%s%s" $service $suffix) }}
{{- end }}
{{- end }}
{{- toJson $hosts }}
{{- end }}

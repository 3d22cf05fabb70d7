{{/* The name of the application, at most 63 characters as in every label. */}}
{{- define "synapps.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects: short enough that "-migrate" still fits behind it. */}}
{{- define "synapps.fullname" -}}
{{- $name := include "synapps.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What tells the serving pods of this release from all others. Never changes: it cannot be upgraded. */}}
{{- define "synapps.selectorLabels" -}}
app.kubernetes.io/name: {{ include "synapps.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* The labels that every object has; what it is a part of is added beside them. */}}
{{- define "synapps.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "synapps.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The port of the service: a headless one cannot have another than its pods. */}}
{{- define "synapps.port" -}}
{{- ternary 50051 (int .Values.service.port) .Values.service.headless }}
{{- end }}

{{- define "synapps.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "synapps.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The environment of every process: where its database is, and how it logs. */}}
{{- define "synapps.env" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "database.existingSecret is missing: name the secret that holds the URL of the database. It has to exist before the chart is installed." .Values.database.existingSecret }}
      key: {{ .Values.database.secretKey }}
{{- with .Values.database.directSecretKey }}
- name: SYNAPPS_DIRECT_URL
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.database.existingSecret }}
      key: {{ . }}
{{- end }}
- name: SYNAPPS_LOG_FORMAT
  value: {{ .Values.settings.logFormat }}
{{- end }}

{{/* By the "restricted" level of the Pod Security Standards. */}}
{{- define "synapps.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "synapps.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{/* Where pods may run, and what they are pulled with. */}}
{{- define "synapps.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

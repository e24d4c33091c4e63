{{/* Names, labels and the security settings that every pod of the chart shares. */}}

{{- define "trace.fullname" -}}
{{- .Values.fullnameOverride | default "trace" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select: never changed for a running release. Call with (dict "root" $ "component" "controller"). */}}
{{- define "trace.selector" -}}
app.kubernetes.io/name: trace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "trace.labels" -}}
{{ include "trace.selector" . }}
app.kubernetes.io/part-of: trace
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "trace.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Pod Security "restricted", for pod and container. */}}
{{- define "trace.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "trace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The namespaces that the controller serves, as JSON: `(include "trace.served" . | fromJsonArray)`. */}}
{{- define "trace.served" -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | toJson -}}
{{- end -}}

{{/* Peers of a NetworkPolicy: workers in every namespace that is served. */}}
{{- define "trace.workerPeers" -}}
- podSelector:
    matchExpressions: [{key: trace.dev/job, operator: Exists}]
  {{- if .Values.watchNamespaces }}
  namespaceSelector:
    matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: {{ toJson .Values.watchNamespaces }}}]
  {{- end }}
{{- end -}}

{{/* A peer of a NetworkPolicy: a component of the release, also from another namespace. (dict "root" $ "component" ...) */}}
{{- define "trace.componentPeer" -}}
- podSelector:
    matchLabels:
      {{- include "trace.selector" . | nindent 6 }}
  {{- if .root.Values.watchNamespaces }}
  namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .root.Release.Namespace }}}
  {{- end }}
{{- end -}}

{{/* Names of Secrets: the user's own, or the ones this chart makes. */}}
{{- define "trace.secret.state" -}}{{ .Values.state.existingSecret | default (printf "%s-state" (include "trace.fullname" .)) }}{{- end -}}
{{- define "trace.secret.data" -}}{{ .Values.data.existingSecret | default (printf "%s-data" (include "trace.fullname" .)) }}{{- end -}}
{{- define "trace.secret.worker" -}}{{ .Values.worker.existingSecret | default (printf "%s-worker" (include "trace.fullname" .)) }}{{- end -}}
{{- define "trace.secret.capability" -}}{{ .Values.capability.existingSecret | default (printf "%s-capability" (include "trace.fullname" .)) }}{{- end -}}
{{- define "trace.secret.s3" -}}{{ .Values.s3.existingSecret | default (printf "%s-s3" (include "trace.fullname" .)) }}{{- end -}}

{{- define "trace.secret.admission" -}}{{ .Values.admission.existingSecret | default (printf "%s-admission" (include "trace.fullname" .)) }}{{- end -}}

{{/* Of the query service: its own, the one this chart makes for the embedded store, else the platform's. */}}
{{- define "trace.secret.query" -}}
{{- if .Values.query.s3.existingSecret -}}
{{ .Values.query.s3.existingSecret }}
{{- else if .Values.minio.enabled -}}
{{ include "trace.fullname" . }}-query-s3
{{- else -}}
{{ include "trace.secret.s3" . }}
{{- end -}}
{{- end -}}

{{- define "trace.s3.endpoint" -}}
{{- if .Values.s3.endpoint -}}
{{ .Values.s3.endpoint }}
{{- else if .Values.minio.enabled -}}
http://{{ include "trace.fullname" . }}-minio.{{ .Release.Namespace }}.svc:9000
{{- end -}}
{{- end -}}

{{/*
Whether user tokens are the cluster's own: as `oidc.cluster` says, else as the issuer's name does. Another name says
nothing, since a cluster may issue under any: checks.yaml then asks for the value.
*/}}
{{- define "trace.cluster" -}}
{{- if kindIs "bool" .Values.oidc.cluster -}}
{{ ternary "true" "" .Values.oidc.cluster }}
{{- else -}}
{{ include "trace.clusterName" . }}
{{- end -}}
{{- end -}}

{{- define "trace.clusterName" -}}
{{- if regexMatch "^https://kubernetes\\.default\\.svc([.:/]|$)" .Values.oidc.issuer -}}true{{- end -}}
{{- end -}}

{{/*
Name of the service account that is the first admin; empty where it is not. An issuer that is not the cluster says
nothing of service accounts: their tokens would be refused, and must not be shown to anybody who does not take them.
*/}}
{{- define "trace.adminAccount" -}}
{{- if and .Values.firstAdmin.create (include "trace.cluster" .) (not .Values.firstAdmin.identity) -}}
{{ include "trace.fullname" . }}-admin
{{- end -}}
{{- end -}}

{{- define "trace.firstAdmin" -}}
{{- if .Values.firstAdmin.identity -}}
{{ .Values.firstAdmin.identity }}
{{- else -}}
{{- with include "trace.adminAccount" . -}}
{{ $.Values.oidc.issuer }}|system:serviceaccount:{{ $.Release.Namespace }}:{{ . }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Environment that every process of the platform gets: settings from the ConfigMap, and where its namespace is. */}}
{{- define "trace.env" -}}
- name: TRACE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- if and .Values.tracing.enabled .Values.tracing.headersSecret }}
# Traces are no reason not to start.
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .Values.tracing.headersSecret }}, key: headers, optional: true}}
{{- end }}
{{- end -}}

{{- define "trace.envFrom" -}}
- configMapRef: {name: {{ include "trace.fullname" . }}-config}
{{- end -}}

{{/* Pods restart when settings change; a Secret is read again from its file. */}}
{{- define "trace.configChecksum" -}}
checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
{{- end -}}

{{/*
The migration, as an init container of whatever reads the databases: it takes a lock, so that any number of pods may
start at once, does nothing on a current schema, and nothing serves before it has ended.
*/}}
{{- define "trace.migrate" -}}
- name: migrate
  image: {{ .Values.images.trace }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  command: [tini, --, tracectl, run, migrate]
  envFrom:
    {{- include "trace.envFrom" . | nindent 4 }}
  env:
    {{- include "trace.env" . | nindent 4 }}
    - {name: TRACE_STATE_DSN_FILE, value: /etc/trace/state/dsn}
    - {name: TRACE_DATA_DSN_FILE, value: /etc/trace/data/dsn}
    {{- with include "trace.firstAdmin" . }}
    - {name: TRACE_FIRST_ADMIN, value: {{ . | quote }}}
    {{- end }}
  securityContext:
    {{- include "trace.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: "1", memory: 384Mi}
  volumeMounts:
    - {name: state-owner, mountPath: /etc/trace/state, readOnly: true}
    - {name: data-owner, mountPath: /etc/trace/data, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "trace.ownerVolumes" -}}
{{ include "trace.dsnVolume" (dict "name" "state-owner" "secret" (include "trace.secret.state" .) "key" "dsn") }}
{{ include "trace.dsnVolume" (dict "name" "data-owner" "secret" (include "trace.secret.data" .) "key" "dsn") }}
{{- end -}}

{{/* One DSN of a Secret as the file `dsn`, and beside it `ca.crt`, where the Secret has one. */}}
{{- define "trace.dsnVolume" -}}
- name: {{ .name }}
  projected:
    sources:
      - secret:
          name: {{ .secret }}
          items: [{key: {{ .key }}, path: dsn}]
      - secret:
          name: {{ .secret }}
          items: [{key: ca.crt, path: ca.crt}]
          optional: true
{{- end -}}

{{/* A value of a Secret that exists already, or a fresh one. (dict "secret" $found "key" "token" "fresh" "...") */}}
{{- define "trace.kept" -}}
{{- $found := get (default dict .secret.data) .key -}}
{{- if $found -}}{{ $found | b64dec }}{{- else -}}{{ .fresh }}{{- end -}}
{{- end -}}

{{/* The volume `data` of a StatefulSet: a claim where it persists, else one that goes with the pod. */}}
{{- define "trace.volume" -}}
{{- if not .values.enabled -}}
- name: data
  emptyDir: {sizeLimit: {{ .values.size }}}
{{- end -}}
{{- end -}}

{{- define "trace.claim" -}}
{{- if .values.enabled -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .values.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ .values.size }}}}
{{- end -}}
{{- end -}}

{{/*
A pod on its way out goes on answering for a moment: each node learns from its endpoints only then that nothing is to
be led to it any more, and what is led to it meanwhile would be refused.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow
*/}}
{{- define "trace.leaveFirst" -}}
preStop:
  exec: {command: [sleep, "6"]}
{{- end -}}

{{/*
Rules of egress. Inside: names, the dispatcher (tasks, keys of capability tokens), the embedded stores. Stores: those that
are not of the release, where there are any. Anywhere is never a link-local address (an instance's metadata).
*/}}
{{- define "trace.egress.inside" -}}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
- ports: [{protocol: TCP, port: 8080}]
  to:
    {{- include "trace.componentPeer" (dict "root" . "component" "dispatcher") | nindent 4 }}
{{- if .Values.postgres.enabled }}
- ports: [{protocol: TCP, port: 5432}]
  to:
    {{- include "trace.componentPeer" (dict "root" . "component" "postgres") | nindent 4 }}
{{- end }}
{{- if .Values.minio.enabled }}
- ports: [{protocol: TCP, port: 9000}]
  to:
    {{- include "trace.componentPeer" (dict "root" . "component" "minio") | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "trace.egress.anywhere" -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::/32"]}
{{- end -}}

{{- define "trace.egress.stores" -}}
{{- if not (and .Values.postgres.enabled .Values.minio.enabled) -}}
{{- $ports := .Values.networkPolicies.storePorts -}}
{{- with regexFind ":[0-9]+$" (urlParse .Values.s3.endpoint).host -}}
{{- $ports = append $ports (trimPrefix ":" .) -}}
{{- end -}}
{{- include "trace.egress.at" $ports -}}
{{- end -}}
{{- end -}}

{{/* The collector of traces: a policy sees the port of its pods, which is that of its Service if not named otherwise. */}}
{{- define "trace.egress.traces" -}}
{{- if .Values.tracing.enabled -}}
{{- $scheme := (urlParse .Values.tracing.endpoint).scheme -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .Values.tracing.endpoint).host | trimPrefix ":" -}}
- ports: [{protocol: TCP, port: {{ $port | default (ternary 443 80 (eq $scheme "https")) | int }}}]
  to:
    {{- if .Values.networkPolicies.tracesTo }}
    {{- toYaml .Values.networkPolicies.tracesTo | nindent 4 }}
    {{- else }}
    {{- include "trace.egress.anywhere" . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* Any address, at these ports. */}}
{{- define "trace.egress.at" -}}
- ports:
    {{- range . }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
  to:
    {{- include "trace.egress.anywhere" . | nindent 4 }}
{{- end -}}

{{/*
The query service as a container: beside the dispatcher (Sidecar), or in a Deployment of its own. Beside it, it shares
nothing but the pod: its databases are opened by a role that reads published relations and adds audit rows only, and the
object store by keys of its own where there are any.
*/}}
{{- define "trace.query" -}}
- name: query
  image: {{ .Values.images.trace }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  command: [tini, --, tracectl, run, query]
  envFrom:
    {{- include "trace.envFrom" . | nindent 4 }}
  env:
    {{- include "trace.env" . | nindent 4 }}
    {{- if eq .Values.query.mode "Sidecar" }}
    # Its keys of capability tokens come from the container beside it, whatever policies say of Services.
    - {name: TRACE_DISPATCHER_URL, value: "http://127.0.0.1:8080"}
    {{- end }}
    - {name: TRACE_STATE_DSN_FILE, value: /etc/trace/state/dsn}
    - {name: TRACE_DATA_DSN_FILE, value: /etc/trace/data/dsn}
    - {name: TRACE_S3_ACCESS_KEY_ID_FILE, value: /etc/trace/s3/access-key-id}
    - {name: TRACE_S3_SECRET_ACCESS_KEY_FILE, value: /etc/trace/s3/secret-access-key}
  ports:
    - {name: query, containerPort: 8082}
  lifecycle:
    {{- include "trace.leaveFirst" . | nindent 4 }}
  readinessProbe:
    httpGet: {path: /readyz, port: query}
    periodSeconds: 3
    timeoutSeconds: 3
  livenessProbe:
    httpGet: {path: /healthz, port: query}
    initialDelaySeconds: 20
    periodSeconds: 15
    timeoutSeconds: 5
    failureThreshold: 4
  securityContext:
    {{- include "trace.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.query.resources | nindent 4 }}
  volumeMounts:
    - {name: state-reader, mountPath: /etc/trace/state, readOnly: true}
    - {name: data-reader, mountPath: /etc/trace/data, readOnly: true}
    - {name: query-s3, mountPath: /etc/trace/s3, readOnly: true}
    {{- if include "trace.cluster" . }}
    - {name: identity, mountPath: /var/run/secrets/trace, readOnly: true}
    {{- end }}
    - {name: query-cache, mountPath: /var/cache/trace}
    - {name: query-tmp, mountPath: /tmp}
{{- end -}}

{{- define "trace.queryObjectsVolume" -}}
- name: query-s3
  secret: {secretName: {{ include "trace.secret.query" . }}}
{{- end -}}

{{- define "trace.queryVolumes" -}}
{{ include "trace.dsnVolume" (dict "name" "state-reader" "secret" (include "trace.secret.state" .) "key" "query-dsn") }}
{{ include "trace.dsnVolume" (dict "name" "data-reader" "secret" (include "trace.secret.data" .) "key" "query-dsn") }}
- name: query-cache
  emptyDir: {sizeLimit: {{ .Values.query.cacheSize }}}
- name: query-tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}

{{/*
Sizes in MiB, rounded down. A quantity; what of query.cacheSize is for cached files: the rest of the volume is for what
blocks and folders take; and the memory that queries need together: each its budget and what it may have beyond it when
it is ended (see traceplane/query/broker/memory_watch.py), beside the service, its helpers and what waits.
*/}}
{{- define "trace.mebibytes" -}}
{{- $text := ternary (printf "%.0f" (float64 .)) (toString .) (kindIs "float64" .) -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $unit := index $units (regexReplaceAll "^[0-9.]+" $text "") -}}
{{- divf (mulf (regexFind "^[0-9.]+" $text) $unit) 1048576.0 | floor | int64 -}}
{{- end -}}

{{- define "trace.queryCacheMb" -}}
{{- div (mul 9 (include "trace.mebibytes" .Values.query.cacheSize)) 10 -}}
{{- end -}}

{{- define "trace.queryMemoryMb" -}}
{{- $one := add 256 (dig "query_memory_mb" 512 .Values.config) -}}
{{- $batch := add 256 (dig "query_batch_memory_mb" 512 .Values.config) -}}
{{- add 512 (mul $one (dig "query_concurrency" 2 .Values.config)) (mul $batch (dig "query_batch_concurrency" 1 .Values.config)) -}}
{{- end -}}

{{/* The pod's token for the cluster's token keys, where users are known by the cluster itself. */}}
{{- define "trace.identityVolume" -}}
{{- if include "trace.cluster" . }}
- name: identity
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end -}}

{{/* Component whose pods answer queries. */}}
{{- define "trace.queryComponent" -}}
{{ ternary "query" "dispatcher" (eq .Values.query.mode "Deployment") }}
{{- end -}}

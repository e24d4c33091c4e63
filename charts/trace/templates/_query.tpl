{{/*
The query service as a container beside the dispatcher. It shares nothing with it but the pod: its databases are opened
by a role that reads published relations only.
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
    - {name: TRACE_STATE_DSN_FILE, value: /etc/trace/state/dsn}
    - {name: TRACE_DATA_DSN_FILE, value: /etc/trace/data/dsn}
    - {name: TRACE_S3_ACCESS_KEY_ID_FILE, value: /etc/trace/s3/access-key-id}
    - {name: TRACE_S3_SECRET_ACCESS_KEY_FILE, value: /etc/trace/s3/secret-access-key}
  ports:
    - {name: query, containerPort: 8082}
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
    - {name: s3, mountPath: /etc/trace/s3, readOnly: true}
    {{- if .Values.oidc.cluster }}
    - {name: identity, mountPath: /var/run/secrets/trace, readOnly: true}
    {{- end }}
    - {name: query-cache, mountPath: /var/cache/trace}
    - {name: query-tmp, mountPath: /tmp}
{{- end -}}

{{- define "trace.queryVolumes" -}}
- name: state-reader
  secret:
    secretName: {{ include "trace.secret.state" . }}
    items: [{key: query-dsn, path: dsn}]
- name: data-reader
  secret:
    secretName: {{ include "trace.secret.data" . }}
    items: [{key: query-dsn, path: dsn}]
- name: query-cache
  emptyDir: {sizeLimit: {{ .Values.query.cacheSize }}}
- name: query-tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}

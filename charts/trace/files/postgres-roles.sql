SET client_min_messages = warning;
-- Roles and databases of the embedded server, made where missing. Each password is read from its Secret's file.
\set postgres `cat /etc/trace/postgres/postgres`
\set state `cat /etc/trace/postgres/state`
\set data `cat /etc/trace/postgres/data`
\set worker `cat /etc/trace/postgres/worker`
\set reader `cat /etc/trace/postgres/reader`

-- Groups that the migrations and the dispatcher grant to; who logs in is a member.
SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(ARRAY['trace_writer', 'trace_query', 'trace_views']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['trace_state', 'trace_data', 'trace_worker', 'trace_reader']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE postgres PASSWORD :'postgres';
ALTER ROLE trace_state PASSWORD :'state';
ALTER ROLE trace_data PASSWORD :'data';
ALTER ROLE trace_worker PASSWORD :'worker';
ALTER ROLE trace_reader PASSWORD :'reader';
GRANT trace_writer TO trace_worker;
GRANT trace_query TO trace_reader;

SELECT format('CREATE DATABASE %I OWNER %I', name, name) FROM unnest(ARRAY['trace_state', 'trace_data']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
-- Workers never see state; nobody reaches a database that is not theirs.
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE trace_state FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE trace_data FROM PUBLIC;
GRANT CONNECT ON DATABASE trace_state TO trace_query;
GRANT CONNECT, TEMPORARY ON DATABASE trace_data TO trace_writer;
GRANT CONNECT ON DATABASE trace_data TO trace_query;
GRANT CONNECT ON DATABASE trace_data TO trace_views;

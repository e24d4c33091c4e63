#!/bin/sh
# Makes the data folder at the first start, and roles, passwords and databases as they should be at every start: a
# password changed in the Secret holds from the next start of the pod on. Runs before the server that others reach;
# its own server listens on a socket in /tmp only.
set -eu
# A server of a pod that Kubernetes no longer knows may still be on this data: wait until it is gone. The server's own
# lock file does not tell, since its process id means nothing in another pod.
exec 9>> "$(dirname "$PGDATA")/server.lock"
if ! flock --nonblock 9; then
  echo "another server is on this data; waiting until it is gone" >&2
  flock --wait 600 9
fi
secrets=/etc/trace/postgres

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Made beside and moved: a kill half way leaves nothing that looks finished.
  rm -rf "$PGDATA.new"
  initdb --pgdata "$PGDATA.new" --username postgres --pwfile "$secrets/postgres" \
    --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --data-checksums
  mv "$PGDATA.new" "$PGDATA"
fi
chmod 700 "$PGDATA"

# The socket is in this pod's own /tmp, which only its containers can reach.
cat > "$PGDATA/pg_hba.conf" <<'HBA'
local all all trust
host  all all all scram-sha-256
HBA

pg_ctl start --pgdata "$PGDATA" --wait --timeout 120 --silent --log /tmp/prepare.log \
  --options "-c listen_addresses='' -c unix_socket_directories=/tmp" || { cat /tmp/prepare.log; exit 1; }
psql --host /tmp --username postgres --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file "$(dirname "$0")/roles.sql"
pg_ctl stop --pgdata "$PGDATA" --mode fast --wait --timeout 60 --silent

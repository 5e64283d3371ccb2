#!/bin/sh
# Collects all that tidegate needs to run in an empty container image: the binary, the shared
# libraries it is linked to with their loader, the certificate authorities and a user in OUT/root,
# and what the store's folder begins with, nothing, in OUT/state. Name resolution by /etc/hosts and
# DNS is part of glibc itself since 2.34. Used by the Dockerfile and by the test of it.
#
#   deploy/bundle.sh BINARY OUT
set -eu
binary=$1
out=$2/root
here=$(dirname "$0")

mkdir -p "$2/state" "$out/etc/ssl/certs" "$out/etc/tidegate" "$out/tmp"
chmod 1777 "$out/tmp"
install -m 755 "$binary" "$out/tidegate"

# "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)".
# A static binary has none.
ldd "$binary" | sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p' | while read -r library; do
  mkdir -p "$out$(dirname "$library")"
  cp -L "$library" "$out$library"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-certificates.crt"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
echo 'tidegate:x:65532:65532::/var/lib/tidegate:/sbin/nologin' >"$out/etc/passwd"
echo 'tidegate:x:65532:' >"$out/etc/group"
install -m 644 "$here/proxy.toml" "$out/etc/tidegate/proxy.toml"

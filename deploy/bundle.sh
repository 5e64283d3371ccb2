#!/bin/sh
# Collects all that tidegate needs to run in an empty container image: the binary, the shared
# libraries it is linked to with their loader, the certificate authorities, a user, and the folder
# of the store. Name resolution by /etc/hosts and DNS is part of glibc itself since 2.34.
# Used by the Dockerfile and by the test of it.
#
#   deploy/bundle.sh BINARY OUT
set -eu
binary=$1
out=$2
here=$(dirname "$0")

mkdir -p "$out/etc/ssl/certs" "$out/etc/tidegate" "$out/var/lib/tidegate" "$out/tmp"
chmod 1777 "$out/tmp"
install -m 755 "$binary" "$out/tidegate"

# "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)".
# A static binary has none, and says so by ldd's exit code.
libraries=$(ldd "$binary" | sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p') || libraries=
for library in $libraries; do
  mkdir -p "$out$(dirname "$library")"
  cp -L "$library" "$out$library"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-certificates.crt"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
echo 'tidegate:x:65532:65532::/var/lib/tidegate:/sbin/nologin' >"$out/etc/passwd"
echo 'tidegate:x:65532:' >"$out/etc/group"
install -m 644 "$here/proxy.toml" "$out/etc/tidegate/proxy.toml"

// What people would use instead, and Locum: one row each. The words are for `sh -eu` with
//   OLD, NEW     the two files, on the server's side; the device has a copy of OLD as $DEVICE/old
//   SERVED       the folder that nginx serves as URL
//   DEVICE       the device's own folder; the update must leave the new file as $DEVICE/out
//   RSYNC        the address of the rsync daemon that serves SERVED
//   BENCH        the benchmark's programs (once), LOCUM_DELTA the delta tool
// `prepare` is what the server does once per pair, `before` what the device has lying there from the last update (neither timed for the device),
// `update` is what is measured. Each tool runs as its manual says, at its defaults where it is meant to be fetched from, at its best compression
// where it makes a patch.

const PATCH = 'curl -sf -o "$DEVICE/patch" "$URL/patch"';

export const TOOLS = [
  { name: 'once', what: 'read + SHA-256 + write of the new file, on the device', program: 'sh', local: true,
    update: '"$BENCH/once" "$NEW" "$DEVICE/out"' },
  { name: 'whole', what: 'curl | SHA-256 | write', program: 'curl',
    prepare: 'ln "$NEW" "$SERVED/new"',
    update: 'curl -sf "$URL/new" | "$BENCH/once" - "$DEVICE/out"' },
  { name: 'casync', program: 'casync',
    prepare: 'casync make --store="$SERVED/store.castr" "$SERVED/new.caibx" "$NEW"',
    update: 'casync extract --store="$URL/store.castr" --seed="$DEVICE/old" "$URL/new.caibx" "$DEVICE/out"' },
  { name: 'zchunk', program: 'zck',
    prepare: 'zck -o "$SERVED/new.zck" "$NEW"',
    before: 'zck -o "$DEVICE/old.zck" "$DEVICE/old"',
    update: 'cd "$DEVICE"; zckdl -s old.zck "$URL/new.zck"; unzck new.zck; mv new out' },
  { name: 'ostree', program: 'ostree', what: 'ostree pull of a static delta',
    prepare: `repo="--repo=$SERVED/repo"; tree="$SERVED/tree"; mkdir -p "$tree"
      commit() { ln -f "$1" "$tree/file"; ostree $repo commit -b main --timestamp=@1 --owner-uid=0 --owner-gid=0 --no-xattrs "$tree"; }
      ostree $repo init --mode=archive; commit "$OLD" >"$SERVED/from"; commit "$NEW" >"$SERVED/to"
      ostree $repo static-delta generate --min-fallback-size=0 --from="$(cat "$SERVED/from")" --to="$(cat "$SERVED/to")"; ostree $repo summary -u`,
    before: `repo="--repo=$DEVICE/repo"; ostree $repo init --mode=bare-user-only; ostree $repo remote add --no-gpg-verify origin "$URL/repo"
      ostree $repo pull-local --untrusted "$SERVED/repo" "$(cat "$SERVED/from")"; ostree $repo refs --create=origin:main "$(cat "$SERVED/from")"`,
    update: 'repo="--repo=$DEVICE/repo"; ostree $repo pull --require-static-deltas origin main; ostree $repo checkout -U -H origin:main "$DEVICE/tree"; ln "$DEVICE/tree/file" "$DEVICE/out"' },
  { name: 'rsync', program: 'rsync', what: 'rsync -z --no-whole-file from a daemon', own: 'rsync',
    prepare: 'ln "$NEW" "$SERVED/new"',
    before: 'cp "$DEVICE/old" "$DEVICE/out"; touch -d @1 "$DEVICE/out"',
    update: 'rsync -z --no-whole-file --stats "$RSYNC/new" "$DEVICE/out" >"$DEVICE/stats"' },
  { name: 'zsync', program: 'zsync',
    prepare: 'ln "$NEW" "$SERVED/new"; zsyncmake -u "$URL/new" -o "$SERVED/new.zsync" "$SERVED/new"',
    update: 'cd "$DEVICE"; zsync -q -i old -o out "$URL/new.zsync"' },
  { name: 'xdelta3', program: 'xdelta3', what: 'xdelta3 -9, source window as large as the file',
    prepare: 'xdelta3 -e -9 -f -B "$(($(stat -c %s "$OLD") + 65536))" -s "$OLD" "$NEW" "$SERVED/patch"',
    update: `${PATCH}; xdelta3 -d -f -B "$(($(stat -c %s "$DEVICE/old") + 65536))" -s "$DEVICE/old" "$DEVICE/patch" "$DEVICE/out"` },
  { name: 'bsdiff', program: 'bsdiff', memory: 20,
    prepare: 'bsdiff "$OLD" "$NEW" "$SERVED/patch"',
    update: `${PATCH}; bspatch "$DEVICE/old" "$DEVICE/out" "$DEVICE/patch"` },
  { name: 'zstd-patch-quick', program: 'zstd', what: 'zstd -3 --patch-from',
    prepare: 'zstd -q -3 --long=31 --single-thread --patch-from="$OLD" "$NEW" -o "$SERVED/patch"',
    update: `${PATCH}; zstd -q -d --long=31 --patch-from="$DEVICE/old" "$DEVICE/patch" -o "$DEVICE/out"` },
  { name: 'zstd-patch', program: 'zstd', what: 'zstd -19 --patch-from',
    prepare: 'zstd -q -19 --long=31 --single-thread --patch-from="$OLD" "$NEW" -o "$SERVED/patch"',
    update: `${PATCH}; zstd -q -d --long=31 --patch-from="$DEVICE/old" "$DEVICE/patch" -o "$DEVICE/out"` },
];

/** How each names its version: the first line of what it says. */
export const VERSIONS = [
  ['casync', 'casync --version'], ['zchunk', 'zck --version'], ['ostree', 'ostree --version | sed -n "s/ Version: ./ostree /p;s/ *Version: /ostree /p"'], ['rsync', 'rsync --version'],
  ['zsync', 'zsync -V'], ['xdelta3', 'xdelta3 -V 2>&1'], ['bsdiff', 'dpkg-query -W bsdiff'], ['zstd', 'zstd --version'],
  ['nginx', 'nginx -v 2>&1'], ['git', 'git --version'], ['curl', 'curl --version'],
];

/**
 * What a program in a box might try on the machine around it, as data: for `tri-agent audit` and `npm run redteam`. Every attack is a shell script that
 * is executed twice, without the sandbox as the positive control and then inside: one whose control does not fire proves nothing.
 *
 * Bounded, and aimed at a throw-away place alone (arena.ts): where success would change the machine it only opens, or asks with arguments that the
 * kernel refuses after it has looked at who is asking. It never prints, keeps or sends what it finds: the secrets are planted.
 *
 *     $PLANT       the planted folder      $MARK   a file that must not appear there     $VICTIM   a process beside it
 *     $PORT…       servers of the host     $HOST   the folder of its own tree on the host
 */

/** What gives a breach away. */
export type Sign =
  | { says: 'the secret' } // the planted secret is in what it printed
  | { says: 'a word' } // it printed GAINED
  | { makes: string } // this file below $PLANT is there
  | { harms: 'the victim' } // the victim is dead or stopped
  | { outlives: 'the box' } // a process that has $TOKEN in its words lives on

export type Attack = {
  name: string
  group: 'secret' | 'write' | 'network' | 'process' | 'privilege'
  script: string
  sign: Sign
  /** What it cannot be tried without. */
  needs?: readonly Need[]
}

export type Need = 'root' | 'perl' | 'ipv6' | 'interface'

const reads = (name: string, script: string, ...needs: Need[]): Attack => ({
  name,
  group: 'secret',
  script,
  sign: { says: 'the secret' },
  needs,
})

/** Files of a home and of our own that hold credentials. */
const credentialFiles = [
  '.ssh/id_ed25519',
  '.aws/credentials',
  '.config/gcloud/application_default_credentials.json',
  '.azure/msal_token_cache.json',
  '.kube/config',
  '.docker/config.json',
  '.netrc',
  '.git-credentials',
  '.npmrc',
  '.pypirc',
  '.config/gh/hosts.yml',
  '.gnupg/private-keys-v1.d/key.key',
  '.bash_history',
  '.config/tri-agent/config.yaml',
  '.local/state/tri-agent-keys/openai',
  '.local/state/tri-agent/tasks.db',
  '.local/state/tri-agent/transcripts/att_other.jsonl',
] as const

/** Where the secret is planted, below $PLANT. */
export const secretFiles: readonly string[] = [
  'secret',
  'project/.env',
  'areas/att_other/work/file',
  ...credentialFiles.map((file) => `home/${file}`),
]

const secrets: readonly Attack[] = [
  reads('a file of 0600 outside', 'cat "$PLANT/secret"'),
  reads('.env of the project', 'cat "$PLANT/project/.env"'),
  reads("another attempt's tree", 'cat "$PLANT/areas/att_other/work/file"'),
  ...credentialFiles.map((file) => reads(`~/${file}`, `cat "$PLANT/home/${file}"`)),
  reads('by a symbolic link', 'ln -sf "$PLANT/secret" link; cat link'),
  reads('by a hard link', 'rm -f hard; ln "$PLANT/secret" hard && cat hard'),
  reads('by a relative path', 'cat ../../../secret'),
  reads(
    'by looking everywhere above',
    'cat "$(find "$(dirname "$PLANT")" -maxdepth 2 -name secret 2>/dev/null | grep -F "$PLANT")"',
  ),
  reads("by its parent's root", 'cat "/proc/$PPID/root$PLANT/secret"'),
  reads("by another process's root", 'cat "/proc/$VICTIM/root$PLANT/secret"'),
  reads("by another process's folder", 'cat "/proc/$VICTIM/cwd/secret"'),
  reads("by another process's descriptor", 'cat "/proc/$VICTIM/fd/9"'),
  reads("in another process's environment", 'tr "\\0" "\\n" < "/proc/$VICTIM/environ"'),
  reads('in any environment', 'cat /proc/[0-9]*/environ | tr "\\0" "\\n"'),
  reads("in another process's words", 'tr "\\0" "\\n" < "/proc/$VICTIM/cmdline"'),
  reads('in any words', 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"'),
]

const makes = (name: string, script: string, file: string, ...needs: Need[]): Attack => ({
  name,
  group: 'write',
  script,
  sign: { makes: file },
  needs,
})

/** Files that make somebody else execute something later, below $PLANT; none of them is there before. */
const trapFiles = [
  ['home/.ssh/authorized_keys', 'a key to log in with'],
  ['home/.bashrc', 'what a shell starts with'],
  ['home/.config/systemd/user/evil.service', 'a unit of systemd'],
  ['home/.config/autostart/evil.desktop', 'what a session starts with'],
  ['home/.local/bin/git', 'a program in front of git'],
  ['home/.gitconfig', "the user's git configuration"],
  ['project/.git/hooks/post-checkout', "a hook of the user's repository"],
  ['areas/att_other/work/evil', "another attempt's tree"],
  ['home/.local/state/tri-agent/evil', 'our state'],
  ['home/.config/tri-agent/evil', 'our settings'],
  ['sockets/evil', 'our sockets'],
] as const

/** Shown inside, read-only: path below $PLANT, and where it is inside. */
export const shownFolders = [
  { folder: 'store', inside: '/store/0', what: 'the object store' },
  { folder: 'program', inside: '/opt/agent', what: "the agent's own program" },
  { folder: 'toolchain/bin', inside: null, what: 'the toolchain' },
] as const

const opens = (what: string, path: string): Attack => ({
  name: `${what} can be opened for writing`,
  group: 'write',
  script: `(: >> ${path}) && echo GAINED`,
  sign: { says: 'a word' },
  needs: ['root'],
})

const writes: readonly Attack[] = [
  makes('an absolute path', 'echo x > "$MARK"', 'marks/mark'),
  makes('a relative path', 'echo x > ../../../marks/mark', 'marks/mark'),
  makes('through a link', 'ln -sfn "$PLANT/marks" out; echo x > out/mark', 'marks/mark'),
  makes("through its parent's root", 'echo x > "/proc/$PPID/root$MARK"', 'marks/mark'),
  makes("through another process's root", 'echo x > "/proc/$VICTIM/root$MARK"', 'marks/mark'),
  makes("through another process's folder", 'echo x > "/proc/$VICTIM/cwd/marks/mark"', 'marks/mark'),
  ...trapFiles.map(([file, what]) =>
    makes(what, `mkdir -p "$PLANT/${file.replace(/\/[^/]*$/, '')}"; echo x > "$PLANT/${file}"`, file),
  ),
  ...shownFolders.map(({ folder, inside, what }) =>
    makes(
      what,
      `for at in "$PLANT/${folder}"${inside === null ? '' : ` ${inside}`}; do echo x > "$at/evil"; done`,
      `${folder}/evil`,
    ),
  ),
  opens('/etc/passwd', '/etc/passwd'),
  opens('the list of mounts', '/etc/fstab'),
  { ...opens('/usr/bin', ''), name: 'a new program in /usr/bin', script: 'test -w /usr/bin && echo GAINED' },
  { ...opens('/etc', ''), name: 'a new file in /etc', script: 'test -w /etc && echo GAINED' },
  opens("the kernel's core pattern", '/proc/sys/kernel/core_pattern'),
]

const reaches = (name: string, script: string, ...needs: Need[]): Attack => ({
  name,
  group: 'network',
  script,
  sign: { says: 'the secret' },
  needs: ['perl', ...needs],
})

/** Connects and prints what comes; perl, because it is there inside. */
const dial = (address: string) =>
  `perl -MIO::Socket -e 'alarm 3; my $s = ${address} or exit 1; print $s "x\\n"; $s->flush; print while <$s>'`

const seesHost = (name: string, script: string, ...needs: Need[]): Attack => ({
  name,
  group: 'network',
  script: `${script} && echo GAINED`,
  sign: { says: 'a word' },
  needs,
})

const network: readonly Attack[] = [
  reaches('a server on loopback', dial('IO::Socket::INET->new("127.0.0.1:$ENV{PORT}")')),
  reaches(
    'a server on ::1',
    dial('(eval { require IO::Socket::IP } && IO::Socket::IP->new(PeerHost => "::1", PeerPort => $ENV{PORT6}))'),
    'ipv6',
  ),
  reaches(
    'a server on loopback, by UDP',
    `perl -MIO::Socket -e 'alarm 3; my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1:$ENV{UDP}") or exit 1; $s->send("x"); $s->recv(my $b, 500); print $b'`,
  ),
  reaches("a socket in another's folder", dial('IO::Socket::UNIX->new("$ENV{PLANT}/sockets/other.sock")')),
  reaches('the socket of the daemon', dial('IO::Socket::UNIX->new("$ENV{PLANT}/sockets/daemon.sock")')),
  seesHost('which ports of the host listen', 'grep -qi ":$(printf %04X "$PORT") " /proc/net/tcp'),
  seesHost('which sockets the host has', 'grep -qF "$PLANT" /proc/net/unix'),
  seesHost('the interfaces of the host', "grep -vE 'Inter|face|lo:' /proc/net/dev | grep -q :", 'interface'),
  seesHost('packets themselves', `perl -e 'exit !socket(my $s, 17, 3, 768)'`, 'root', 'perl'),
  seesHost('raw packets', `perl -e 'exit !socket(my $s, 2, 3, 1)'`, 'root', 'perl'),
]

const harms = (name: string, script: string, ...needs: Need[]): Attack => ({
  name,
  group: 'process',
  script,
  sign: { harms: 'the victim' },
  needs,
})

const outlives = (name: string, script: string): Attack => ({
  name,
  group: 'process',
  script: `${script}\nsleep 0.3`, // long enough for what it leaves to become what it is
  sign: { outlives: 'the box' },
})

/** A minute is longer than any trial, and ends what a control leaves should everything else fail. */
const stay = `sh -c 'sleep 60; :' "$TOKEN"`

const processes: readonly Attack[] = [
  harms('killing a process of the host', 'kill -9 "$VICTIM"'),
  harms('stopping a process of the host', 'kill -STOP "$VICTIM"'),
  harms('signalling everybody in its group', "perl -e 'kill 9, -$ENV{VICTIM}'", 'perl'),
  {
    ...harms('reading the memory of a process', '(: < "/proc/$VICTIM/mem") && echo GAINED', 'root'),
    sign: { says: 'a word' },
  },
  { ...harms('the priority of a process', 'renice -n 5 -p "$VICTIM" && echo GAINED'), sign: { says: 'a word' } },
  {
    ...harms('knowing a process of the host', 'grep -q . "/proc/$VICTIM/comm" && echo GAINED'),
    sign: { says: 'a word' },
  },
  outlives('a child in the background', `${stay} >/dev/null 2>&1 &`),
  outlives('a session of its own', `setsid ${stay} >/dev/null 2>&1 &`),
  outlives(
    'forked twice, environment wiped, descriptors closed',
    `(setsid env -i sh -c 'exec <&- >&- 2>&-; sleep 60; :' "$TOKEN" &)`,
  ),
  outlives('deaf to every signal', `(trap "" TERM HUP INT; setsid ${stay} >/dev/null 2>&1 &)`),
  outlives(
    'a chain of sessions that start each other',
    // Each stays a while after it has started the next: who looks once sees some, and never only the place where one was.
    `chain='[ "$1" -gt 0 ] || exit 0; sleep 0.02; setsid sh -c "$2" "$0" $(($1-1)) "$2" & sleep 0.5'; setsid sh -c "$chain" "$TOKEN" 100 "$chain" >/dev/null 2>&1 &`,
  ),
  outlives('fifty at once', `i=0; while [ $i -lt 50 ]; do setsid ${stay} >/dev/null 2>&1 & i=$((i+1)); done`),
]

const gains = (name: string, script: string, ...needs: Need[]): Attack => ({
  name,
  group: 'privilege',
  script: `${script} && echo GAINED`,
  sign: { says: 'a word' },
  needs,
})

const privileges: readonly Attack[] = [
  gains('a user namespace', 'unshare --user true', 'root'),
  gains('a mount namespace', 'unshare --mount true', 'root'),
  gains('a network namespace', 'unshare --net true', 'root'),
  gains('another root', 'chroot / true', 'root'),
  gains('another user, by su', 'su -c true root', 'root'),
  gains('another user, by setpriv', 'setpriv --reuid 65534 --clear-groups true', 'root'),
  gains('a program that is setuid root', 'test "$("$PLANT/toolchain/bin/id-as-root" -u)" = 0', 'root'),
  gains('capabilities', "! grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status", 'root'),
  gains('capabilities that a program could bring', "! grep -q '^CapBnd:[[:space:]]*0*$' /proc/self/status"),
  gains('privileges by a program that has more', "grep -q '^NoNewPrivs:[[:space:]]*0' /proc/self/status"),
  gains('system calls without a filter', "grep -q '^Seccomp:[[:space:]]*0' /proc/self/status"),
  gains('a core file with what it knew', 'test "$(ulimit -Hc)" != 0'),
]

/** All of them. */
export const attacks: readonly Attack[] = [...secrets, ...writes, ...network, ...processes, ...privileges]

/**
 * The system-call filter of the namespace rung, as classic BPF for `bwrap --seccomp`: generated here in plain code, no native library.
 *
 * A deny-list: what opens the kernel's wide surface (keyrings, tracing, bpf, io_uring, mounts, new namespaces, modules) answers EPERM, terminal
 * injection and exotic sockets too; clone3 answers ENOSYS so that libc falls back to clone, whose flags can be looked at. Numbers: Linux uapi.
 */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number]

type Architecture = { audit: number; clone: number; ioctl: number; socket: number; denied: readonly number[] }

const x64: Architecture = {
  audit: 0xc000003e,
  clone: 56,
  ioctl: 16,
  socket: 41,
  // ptrace process_vm_readv process_vm_writev keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter
  // io_uring_register mount umount2 pivot_root setns unshare open_by_handle_at name_to_handle_at kexec_load kexec_file_load init_module
  // finit_module delete_module swapon swapoff reboot sethostname setdomainname acct iopl ioperm lookup_dcookie quotactl syslog personality
  // modify_ldt vhangup settimeofday adjtimex clock_settime clock_adjtime kcmp fanotify_init
  denied: [
    101, 310, 311, 250, 248, 249, 321, 298, 323, 425, 426, 427, 165, 166, 155, 308, 272, 304, 303, 246, 320, 175, 313,
    176, 167, 168, 169, 170, 171, 163, 172, 173, 212, 179, 103, 135, 154, 153, 164, 159, 227, 305, 312, 300,
  ],
}

const arm64: Architecture = {
  audit: 0xc00000b7,
  clone: 220,
  ioctl: 29,
  socket: 198,
  denied: [
    117, 270, 271, 219, 217, 218, 280, 241, 282, 425, 426, 427, 40, 39, 41, 268, 97, 265, 264, 104, 294, 105, 273, 106,
    224, 225, 142, 161, 162, 89, 18, 60, 116, 92, 58, 170, 171, 112, 266, 272, 262,
  ],
}

/** Same numbers everywhere: open_tree move_mount fsopen fsconfig fsmount mount_setattr pidfd_getfd memfd_secret. */
const deniedEverywhere = [428, 429, 430, 431, 432, 442, 438, 447]
const clone3 = 435

const load = 0x20
const jumpEqual = 0x15
const jumpGreaterOrEqual = 0x35
const jumpAnyBit = 0x45
const answer = 0x06
const allow = 0x7fff0000
const killProcess = 0x80000000
const fail = (errno: number) => 0x00050000 | errno
const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
/** Every CLONE_NEW* flag. */
const newNamespaces = 0x7e020000
const terminalInjections = [0x5412, 0x541c] // TIOCSTI, TIOCLINUX
const families = [1, 2, 10, 16] // unix, inet, inet6, netlink (getifaddrs)

/** The filter for this architecture, or null where its numbers are not known: then there is none, and `probe` says so. */
export function seccompFilter(architecture: string): Buffer | null {
  const known = { x64, arm64 }[architecture]
  return known ? encode(instructions(known)) : null
}

function instructions({ audit, clone, ioctl, socket, denied }: Architecture): Instruction[] {
  const list: Instruction[] = []
  const give = (value: number) => list.push([answer, 0, 0, value])
  const loadWord = (offset: number) => list.push([load, 0, 0, offset])
  loadWord(4) // architecture
  list.push([jumpEqual, 1, 0, audit])
  give(killProcess)
  loadWord(0) // number
  list.push([jumpGreaterOrEqual, 0, 1, 0x40000000]) // the x32 way around the list
  give(fail(EPERM))
  for (const number of [...denied, ...deniedEverywhere]) {
    list.push([jumpEqual, 0, 1, number])
    give(fail(EPERM))
  }
  list.push([jumpEqual, 0, 1, clone3])
  give(fail(ENOSYS))
  list.push([jumpEqual, 0, 4, clone])
  loadWord(16) // flags
  list.push([jumpAnyBit, 0, 1, newNamespaces])
  give(fail(EPERM))
  loadWord(0)
  list.push([jumpEqual, 0, 2 + 2 * terminalInjections.length, ioctl])
  loadWord(24) // request
  for (const request of terminalInjections) {
    list.push([jumpEqual, 0, 1, request])
    give(fail(EPERM))
  }
  loadWord(0)
  list.push([jumpEqual, 0, families.length + 2, socket])
  loadWord(16) // address family
  for (const [index, family] of families.entries()) list.push([jumpEqual, families.length - index, 0, family])
  give(fail(EAFNOSUPPORT))
  give(allow)
  return list
}

function encode(list: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(list.length * 8)
  for (const [index, [code, whenTrue, whenFalse, value]] of list.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(whenTrue, index * 8 + 2)
    bytes.writeUInt8(whenFalse, index * 8 + 3)
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4)
  }
  return bytes
}

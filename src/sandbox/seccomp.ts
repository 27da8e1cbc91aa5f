/**
 * The system-call filter of the namespace rung, as classic BPF for `bwrap --seccomp`: generated here in plain code, no native library.
 *
 * A deny-list: what opens the kernel's wide surface (keyrings, tracing, bpf, io_uring, mounts, new namespaces, modules) answers EPERM, terminal
 * injection and exotic sockets too; clone3 answers ENOSYS so that libc falls back to clone, whose flags can be looked at. Numbers: Linux uapi.
 */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number]

/** Numbers on x64 and on arm64 (which has the generic ones); null where a call does not exist. */
type Numbers = readonly [x64: number | null, arm64: number | null]

/** What answers EPERM. */
export const denied: Readonly<Record<string, Numbers>> = {
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  setns: [308, 268],
  unshare: [272, 97],
  open_by_handle_at: [304, 265],
  name_to_handle_at: [303, 264],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  acct: [163, 89],
  iopl: [172, null],
  ioperm: [173, null],
  lookup_dcookie: [212, 18],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  syslog: [103, 116],
  personality: [135, 92],
  modify_ldt: [154, null],
  vhangup: [153, 58],
  settimeofday: [164, 170],
  adjtimex: [159, 171],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  kcmp: [312, 272],
  fanotify_init: [300, 262],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  pidfd_getfd: [438, 438],
  memfd_secret: [447, 447],
}

/** What is looked at before it is allowed, or answers ENOSYS (clone3). */
export const inspected = {
  clone: [56, 220],
  clone3: [435, 435],
  ioctl: [16, 29],
  socket: [41, 198],
} as const satisfies Record<string, Numbers>

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64, and the column of their numbers. */
const architectures: Readonly<Record<string, { audit: number; column: 0 | 1 }>> = {
  x64: { audit: 0xc000003e, column: 0 },
  arm64: { audit: 0xc00000b7, column: 1 },
}

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
  const known = architectures[architecture]
  return known ? encode(instructions(known)) : null
}

function instructions({ audit, column }: { audit: number; column: 0 | 1 }): Instruction[] {
  const list: Instruction[] = []
  const give = (value: number) => list.push([answer, 0, 0, value])
  const loadWord = (offset: number) => list.push([load, 0, 0, offset])
  loadWord(4) // architecture
  list.push([jumpEqual, 1, 0, audit])
  give(killProcess)
  loadWord(0) // number
  list.push([jumpGreaterOrEqual, 0, 1, 0x40000000]) // the x32 way around the list
  give(fail(EPERM))
  for (const { [column]: number } of Object.values(denied)) {
    if (number === null) continue
    list.push([jumpEqual, 0, 1, number])
    give(fail(EPERM))
  }
  list.push([jumpEqual, 0, 1, inspected.clone3[column]])
  give(fail(ENOSYS))
  list.push([jumpEqual, 0, 4, inspected.clone[column]])
  loadWord(16) // flags
  list.push([jumpAnyBit, 0, 1, newNamespaces])
  give(fail(EPERM))
  loadWord(0)
  list.push([jumpEqual, 0, 2 + 2 * terminalInjections.length, inspected.ioctl[column]])
  loadWord(24) // request
  for (const request of terminalInjections) {
    list.push([jumpEqual, 0, 1, request])
    give(fail(EPERM))
  }
  loadWord(0)
  list.push([jumpEqual, 0, families.length + 2, inspected.socket[column]])
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

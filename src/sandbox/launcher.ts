/**
 * What stands in front of a contained program on every rung: it closes inherited descriptors, because Node lets some through, and lowers limits.
 * Each step becomes the next one (exec), so the pid stays. It never reads a start-up file of anybody's shell.
 */
import { hardLimit } from '../host/limit.ts'

export type LauncherTools = { bash: string | null; prlimit: string | null }

/**
 * bash reads rc files, --norc or not, when its stdin is a socket (it takes that for rsh), which Node's is; not in a nested shell, and not where
 * there is no home. These two are all that the first process inside a namespace shows in /proc/1/environ.
 */
export const launcherEnv = { SHLVL: '2', HOME: '/nonexistent' } as const

/** Closes every descriptor above the first argument, then becomes the rest. Without a /proc they cannot be listed: then all that a shell may have. */
const closeDescriptors =
  'top=$1; shift; all=(/dev/fd/*); [ -e "${all[0]}" ] || all=({0..255}); for f in "${all[@]}"; do n=${f##*/}; if [ "$n" -gt "$top" ]; then eval "exec $n>&-"; fi; done; exec "$@"'

/** Open files of one process; what CLIs and compilers need, and no more. */
const openFiles = 4096
/** Counted by the kernel over everything this user has, so it only stops a fork bomb. Not enforced by the kernel for root. */
const processes = 16_384

/** The words before a program: descriptors above `highest` are closed, limits are lowered and never raised. Never --as: Wasm needs 64 GB of it. */
export const launcherArgv = ({ bash, prlimit }: LauncherTools, highest: number): string[] => [
  ...(bash === null ? [] : [bash, '-c', closeDescriptors, 'launch', String(highest)]),
  ...(prlimit === null
    ? []
    : [
        prlimit,
        '--core=0',
        `--nofile=${Math.min(openFiles, hardLimit('open files'))}`,
        `--nproc=${Math.min(processes, hardLimit('processes'))}`,
      ]),
]

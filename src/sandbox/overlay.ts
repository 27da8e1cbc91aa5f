/**
 * A tree with a sealed layer below it: an overlay that only the attempt's own mount namespace sees. What a program writes, deletes or changes goes to the
 * tree; the layer is never written, whatever it does. For this bubblewrap starts in a user namespace that may mount:
 *
 *     … prlimit ▶ unshare ▶ bash (reads three paths, mounts) ▶ bwrap, the outermost ─ …
 *
 * The tree is its own upper folder and the place it is mounted on, so every path stays what it is. Deleted files of the layer are marks in the tree that
 * only the overlay understands: whoever looks into a tree after a program was in it looks from inside.
 */
import { mkdir, readlink, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { areaAt } from './area.ts'
import type { Area } from './sandbox.ts'

/** What it takes beside bubblewrap's own needs; both are of util-linux. */
export type OverlayTools = { unshare: string; mount: string }

/** In an area's root: where the overlay keeps what is its own, and a link that says which layer is in use. */
const scratchName = 'overlay'
export const layerLink = 'layer'

/** The same area with a sealed layer below its tree. While the area is there the layer counts as in use. */
export async function layBelow(area: Area, layer: string): Promise<Area> {
  await mkdir(join(area.root, scratchName), { mode: 0o700 })
  await symlink(layer, join(area.root, layerLink))
  return { ...area, below: belowOf(area, layer) }
}

/** An area that somebody made, with the layer that he laid below its tree. */
export async function findArea(root: string): Promise<Area> {
  const area = areaAt(root)
  const layer = await readlink(join(root, layerLink)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return null
  })
  return layer === null ? area : { ...area, below: belowOf(area, layer) }
}

const belowOf = ({ root }: Area, layer: string): NonNullable<Area['below']> => ({
  files: join(layer, 'files'),
  scratch: join(root, scratchName),
})

/** What is read before anything is mounted, each ended by a NUL. */
export const overlayPaths = ({ below, work }: Pick<Area, 'below' | 'work'>): string[] =>
  below ? [below.files, work, below.scratch] : []

/**
 * Paths come over a descriptor and are handed on as descriptors: no host path is in an argv, and no letter of one means anything. Index off, so that the next
 * program in this tree need not wait until the kernel has let go of the last one's overlay.
 */
const script = `IFS= read -r -d '' files <&$1 && IFS= read -r -d '' work <&$1 && IFS= read -r -d '' scratch <&$1 || exit 1
exec 17<"$files" 18<"$work" 19<"$scratch" || exit 1
at=/proc/self/fd
"$2" -i -n -c -t overlay -o lowerdir=$at/17,upperdir=$at/18,workdir=$at/19,userxattr,index=off overlay $at/18 || exit 1
exec 17<&- 18<&- 19<&-
shift 2
exec "$@"`

/** The words before bubblewrap's. `pathsAt`: the descriptor that `overlayPaths` come over. */
export const overlayArgv = ({ unshare, mount }: OverlayTools, bash: string, pathsAt: number): string[] => [
  unshare,
  ...'--user --map-root-user --mount --'.split(' '),
  bash,
  '-c',
  script,
  'overlay',
  `${pathsAt}`,
  mount,
]

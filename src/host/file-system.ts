/** What kind of file system a folder is on, where that matters: SQLite's locks and shared memory fail on a network, sooner or later. */
import { lstatSync, statfsSync, statSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** From linux/magic.h and statfs(2): file systems whose locks or shared memory SQLite's log cannot rely on. */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x517b, 'SMB'],
  [0x01021997, '9P (a folder of Windows, or of a virtual machine)'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
])

/** Its name when it is one over a network, else null. On macOS the numbers mean nothing, so none of these comes up. */
export const networkNameOf = (type: number): string | null => networkFileSystems.get(type) ?? null

/** In user space: sure only where what lies behind it is a local disk. */
export const isFuse = (type: number): boolean => type === 0x65735546

/** The number statfs says of a folder, or of the nearest above it that is there. */
export const fileSystemType = (folder: string): number => statfsSync(standing(folder)).type >>> 0

/** The folder, or the nearest above it that is there. */
export function standing(folder: string): string {
  return lstatSync(folder, { throwIfNoEntry: false }) === undefined && folder !== dirname(folder)
    ? standing(dirname(folder))
    : folder
}

/** Bytes a file or folder takes on disk, links not followed; what vanishes meanwhile counts nothing. */
export async function bytesOf(path: string): Promise<number> {
  const stat = await lstat(path).catch(() => null)
  if (stat === null) return 0
  const own = stat.blocks * 512
  if (!stat.isDirectory()) return own
  const names = await readdir(path).catch(() => [])
  let below = 0
  for (const name of names) below += await bytesOf(join(path, name))
  return own + below
}

/** Names a file as it is now: one that was changed, or that another was put in the place of, has another name. Null: there is none. */
export function identityOf(file: string): string | null {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat ? [file, stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ') : null
}

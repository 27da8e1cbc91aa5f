/**
 * Files out of the stores: an agent's private clone, and bare files for gates and reviewers.
 *
 * Both are byte-exact: what is in the blob is in the file, whatever .gitattributes say (line ends, ident, encodings, filters).
 * What a tree only names (submodules, in a checkout also Git LFS) is laid where the user's clone has it.
 * So the agent edits, the gates test and the landing keeps the same bytes. Git is never called in either folder again.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../host/fault.ts'
import { quoteFolder } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import { largeIn, layLarge } from './large-file.ts'
import { layModules } from './module.ts'
import type { Ports } from './outside.ts'
import { exactAttributes, objectFolders, quarantinePlace } from './store.ts'

const cloneSettings = `[user]
	name = agent
	email = agent@localhost
[commit]
	gpgsign = false
[gc]
	auto = 0
[maintenance]
	auto = false
`

/**
 * A private clone in `dir`, HEAD on branch `task` at `commit`, no remote, no hooks. Objects are looked up in `${objectsInside}/0`, `/1`…
 * (where the sandbox mounts `objectFolders`), or in the host's folders when null. Throws Fault `git-folder-exists`.
 */
export async function cloneForAgent(
  ports: Ports,
  stores: RepoStores,
  commit: Sha,
  dir: string,
  objectsInside: string | null,
): Promise<void> {
  const { command, marks } = ports
  await fillNewFolder(dir, async () => {
    const folders = objectFolders(stores)
    const gitDir = join(dir, '.git')
    const format = `--object-format=${commit.length === 64 ? 'sha256' : 'sha1'}`
    await command.answer({ args: ['init', '--quiet', '--template=', format, '--initial-branch=task', dir] })
    await mkdir(join(gitDir, 'info'), { recursive: true })
    await writeFile(join(gitDir, 'info', 'attributes'), exactAttributes)
    await writeFile(join(gitDir, 'config'), cloneSettings, { flag: 'a' })
    const place = { gitDir, borrow: folders }
    await command.answer({ ...place, args: ['update-ref', 'refs/heads/task', commit] })
    await Promise.all([
      command.answer({ ...place, args: [`--work-tree=${dir}`, 'read-tree', '--reset', '-u', commit] }),
      marks(quarantinePlace(stores), commit),
    ])
    await layModules(ports, stores, commit, dir)
    const inside = folders.map((folder, index) => (objectsInside === null ? folder : `${objectsInside}/${index}`))
    await mkdir(join(gitDir, 'objects', 'info'), { recursive: true })
    await writeFile(
      join(gitDir, 'objects', 'info', 'alternates'),
      inside.map((path) => `${quoteFolder(path)}\n`).join(''),
    )
  })
}

/** Files of a tree in `dir`, without .git, with what the user's clone has of what it only names. Throws Fault `git-folder-exists`. */
export async function checkoutFiles(ports: Ports, stores: RepoStores, treeish: Sha, dir: string): Promise<void> {
  const { world, command } = ports
  const place = quarantinePlace(stores)
  await fillNewFolder(dir, async () => {
    const index = join(stores.quarantine, `index-${world.secret(8)}`)
    try {
      const args = [`--work-tree=${dir}`, 'read-tree', '--reset', '-u', treeish]
      const [large] = await Promise.all([
        largeIn(ports, stores, treeish),
        command.answer({ ...place, env: { GIT_INDEX_FILE: index }, args }),
      ])
      await layModules(ports, stores, treeish, dir)
      await layLarge(large, dir)
    } finally {
      await rm(index, { force: true })
    }
  })
}

/** Makes `dir`, which must not exist, and removes it again when filling it fails: half a tree must not be taken for one. */
async function fillNewFolder(dir: string, fill: () => Promise<void>): Promise<void> {
  try {
    await mkdir(dir)
  } catch (cause) {
    throw new Fault('git-folder-exists', `${dir} cannot be made`, { cause })
  }
  try {
    await fill()
  } catch (cause) {
    await rm(dir, { recursive: true, force: true })
    throw cause
  }
}

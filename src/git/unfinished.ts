/** Whether a user's work tree holds what is not committed: looked at for a sentence, never touched, and not for long. */
import { isFault } from '../host/fault.ts'
import type { World } from '../host/world.ts'
import { createCommand } from './command.ts'

/** A work tree too large to be looked at in this time is not worth a person's waiting. */
const longestMs = 500

/** True or false, or null where it cannot be told in time. A repository without a work tree has nothing. */
export async function hasUncommitted(
  world: World,
  { folder, path }: { folder: string; path: string },
): Promise<boolean | null> {
  const command = createCommand(world, { path, timeoutMs: longestMs })
  const args = ['status', '--porcelain', '-z', '--untracked-files=normal', '--ignore-submodules=all']
  try {
    const { code, stdout } = await command.answer({ folder, args, accept: [0, 128] })
    return code === 0 && stdout.length > 0
  } catch (error) {
    if (isFault(error)) return null
    throw error
  }
}

/** On which systems the daemon can keep its promises. Pure: the system's name is handed in. */
import { refuse, type Refusal } from './refusal.ts'

/** Why the daemon does not start on this system, or null. Names are Node's: linux, darwin, win32… */
export const refusePlatform = (platform: string): Refusal | null =>
  platform === 'win32'
    ? refuse(
        'windows',
        'Windows itself cannot hold an agent: no namespaces, no process groups that end for certain',
        'install WSL2 (wsl --install), open it, and start tri-agent there, on a repository inside it',
      )
    : null

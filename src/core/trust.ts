/**
 * Which commands of a repository a person agreed to. They are executed on this machine, so they are shown once and asked about; changed ones on the
 * base are asked about again, and until then the repository's work waits. Pure: hashing is left to whoever asks.
 */
import type { RepositorySettings } from './setting.ts'

/** Why a task is held until its repository is trusted. One text, by which it is known again. */
export const untrusted = "its repository's commands are not agreed to: tri-agent up --trust"

/** What would be executed, and where set-up would go, in lines for a person. */
export function commandLines(settings: RepositorySettings, registries: readonly string[]): string[] {
  const { setup, gates, toolchain } = settings
  return [
    ...setup.map((command) => `set-up: ${command}`),
    ...(setup.length > 0 ? [`  may reach: ${registries.join(', ') || 'nothing'}`] : []),
    ...gates.map(({ name, command }) => `gate ${name}: ${command}`),
    ...(toolchain.length > 0 ? [`tools: ${toolchain.join(', ')}`] : []),
  ]
}

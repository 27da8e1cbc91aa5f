/** The adapters there are. */
import type { AgentAdapter } from './agent.ts'
import { scripted } from './scripted.ts'

const adapters: readonly AgentAdapter[] = [scripted]

/** The adapter of this name. A name from the settings is always one of them, so another is a bug. */
export function adapterNamed(name: string): AgentAdapter {
  const found = adapters.find((each) => each.name === name)
  if (!found) throw new Error(`no adapter is named ${name}`)
  return found
}

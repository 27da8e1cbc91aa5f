/** The adapters there are. Which one drives a family's models by default is core/setting.ts's `vendors`; the operator's settings may say another. */
import type { AgentAdapter } from './agent.ts'
import { claude } from './claude.ts'
import { codex } from './codex.ts'
import { gemini } from './gemini.ts'
import { opencode } from './opencode.ts'
import { scripted } from './scripted.ts'

const adapters: readonly AgentAdapter[] = [claude, codex, gemini, opencode, scripted]

/** The adapter of this name. A name from the settings is always one of them, so another is a bug. */
export function adapterNamed(name: string): AgentAdapter {
  const found = adapters.find((each) => each.name === name)
  if (!found) throw new Error(`no adapter is named ${name}`)
  return found
}

/** Prompts are files beside this one. The hash of the text used goes into the event, so that the log says what was asked. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export type PromptName = 'plan' | 'implement' | 'review' | 'crosscheck'

export type Prompt = { text: string; sha256: string }

/** Fills `{{name}}` places of a prompt file. A place without a value, or a value without a place, is a bug and throws. */
export function prompt(name: PromptName, values: Readonly<Record<string, string>>): Prompt {
  const template = readFileSync(join(import.meta.dirname, 'prompt', `${name}.md`), 'utf8')
  const used = new Set<string>()
  const text = template.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`prompt ${name} asks for ${key}`)
    used.add(key)
    return value
  })
  const unused = Object.keys(values).filter((key) => !used.has(key))
  if (unused.length > 0) throw new Error(`prompt ${name} has no place for ${unused.join(', ')}`)
  return { text, sha256: createHash('sha256').update(text).digest('hex') }
}

export const bullets = (items: readonly string[], none: string): string =>
  items.length === 0 ? none : items.map((item) => `- ${item}`).join('\n')

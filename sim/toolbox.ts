/**
 * How a step is said with the tools a client offers: Claude Code's Write is Gemini's write_file is Codex's apply_patch.
 * Names and argument shapes as seen in requests of Claude Code 2.1, Codex 0.169, Gemini CLI 0.61, opencode 1.18 and our scripted agent.
 * Pure. A step no tool can express becomes a sentence that says so; it is never dropped.
 */
import { dirname } from 'node:path'
import type { Ask, Call, Tool } from './dialect/dialect.ts'
import type { Misbehaviour, Step } from './scenario.ts'

export type Spoken = { text: string; call: Call | null }

/** A step without hang and fault, which the provider does itself. */
export type SpokenStep = Exclude<Step, { hang: true } | { fault: unknown }>

/** What the model says and calls for this step. `cwd`: where the client works, for tools that want absolute paths. */
export function express(step: SpokenStep, ask: Ask, cwd: string | null): Spoken {
  if ('say' in step) return { text: step.say, call: null }
  if ('json' in step) return expressJson(step.json, ask)
  const [text, call] = intent(step, ask.tools, cwd)
  if (call) return { text, call }
  if ('misbehave' in step && step.misbehave in lies) return { text: lies[step.misbehave] ?? '', call: null }
  return { text: `I cannot do that (${Object.keys(step)[0]}): no fitting tool among ${names(ask.tools)}.`, call: null }
}

function intent(
  step: Exclude<SpokenStep, { say: string } | { json: unknown }>,
  tools: readonly Tool[],
  cwd: string | null,
) {
  if ('write' in step) return [`I will write ${step.write.path}.`, writeCall(step.write, tools, cwd)] as const
  if ('replace' in step) return [`I will change ${step.replace.path}.`, replaceCall(step.replace, tools, cwd)] as const
  if ('read' in step) return [`I will read ${step.read.path}.`, readCall(step.read.path, tools, cwd)] as const
  if ('shell' in step) return ['I will use the shell.', shellCall(step.shell, tools)] as const
  const offered = tools.some((tool) => tool.name === 'misbehave')
  return ['I will misbehave.', offered ? { name: 'misbehave', args: { kind: step.misbehave } } : null] as const
}

// What a client without the tool can still be made to say.
const lies: Partial<Record<Misbehaviour, string>> = {
  'claim-done': 'Done. Everything is implemented and committed.',
  'lie-tests': 'Done. All tests pass.',
}

/** The folder a client says it works in, from the text of its request. Null where it does not say. */
export function workFolder(rawBody: string): string | null {
  const found =
    /<cwd>(\/[^<"\\]+)/.exec(rawBody) ??
    /working directory: (\/[^\s"'<\\`]+)/i.exec(rawBody) ??
    /working in the directory: (\/[^\s"'<\\`]+)/i.exec(rawBody) ??
    /Workspace Directories:\**(?:\\n|\s)*- (\/[^\s"'<\\`]+)/.exec(rawBody)
  return found?.[1] ?? null
}

function expressJson(json: Readonly<Record<string, unknown>>, ask: Ask): Spoken {
  if (ask.tools.some((tool) => tool.name === 'StructuredOutput'))
    return { text: '', call: { name: 'StructuredOutput', args: json } }
  const text = ask.json ? JSON.stringify(json) : `\`\`\`json\n${JSON.stringify(json, null, 2)}\n\`\`\``
  return { text, call: null }
}

/** The smallest value a JSON schema allows: for side errands of clients that no rule speaks of. */
export function smallestOf(schema: unknown): unknown {
  const { type, properties, required, items, enum: choices, minimum } = (schema ?? {}) as Record<string, unknown>
  if (Array.isArray(choices)) return choices[0] as unknown
  switch (String(type).toLowerCase()) {
    case 'string':
      return 'ok'
    case 'integer':
    case 'number':
      return typeof minimum === 'number' ? minimum : 1
    case 'boolean':
      return false
    case 'array':
      return items === undefined ? [] : [smallestOf(items)]
    default: {
      const all = (properties ?? {}) as Record<string, unknown>
      const wanted = Array.isArray(required) ? (required as string[]) : Object.keys(all)
      return Object.fromEntries(wanted.map((key) => [key, smallestOf(all[key])]))
    }
  }
}

type Write = Extract<SpokenStep, { write: unknown }>['write']
type Replace = Extract<SpokenStep, { replace: unknown }>['replace']

function writeCall(write: Write, tools: readonly Tool[], cwd: string | null): Call | null {
  const { path, content } = write
  const whole = absolute(path, cwd)
  const find = (name: string) => tools.find((tool) => tool.name === name)
  // Claude Code refuses to overwrite a file it has not read.
  if (find('Write') && !write.over) return { name: 'Write', args: { file_path: whole, content } }
  const plain = find('write_file')
  if (plain)
    return { name: 'write_file', args: plain.keys.includes('path') ? { path, content } : { file_path: whole, content } }
  if (find('write') && !write.over) return { name: 'write', args: { filePath: whole, content } }
  const patchTool = find('apply_patch')
  if (patchTool && !write.over) return patchCall(patchTool, addPatch(path, content))
  if (find('exec') && !write.over) return inCode('apply_patch', addPatch(path, content))
  return shellCall(writeScript(path, content), tools)
}

function replaceCall(replace: Replace, tools: readonly Tool[], cwd: string | null): Call | null {
  if (tools.some((tool) => tool.name === 'replace_in_file')) return { name: 'replace_in_file', args: { ...replace } }
  if (tools.some((tool) => tool.name === 'replace' && tool.keys.includes('old_string'))) {
    // Gemini CLI's shell blocks every command substitution, also a quoted one, so its own tool it is.
    const [old_string, new_string] = [replace.find, replace.with]
    const file_path = absolute(replace.path, cwd)
    return { name: 'replace', args: { file_path, instruction: `Change ${replace.path}`, old_string, new_string } }
  }
  // The other editing tools want the file read first; the shell does not.
  return shellCall(replaceScript(replace), tools)
}

function readCall(path: string, tools: readonly Tool[], cwd: string | null): Call | null {
  const tool = tools.find(({ name }) => name === 'Read' || name === 'read_file' || name === 'read')
  if (!tool) return shellCall(`cat -- ${quoted(path)}`, tools)
  if (tool.keys.includes('path')) return { name: tool.name, args: { path } }
  return { name: tool.name, args: { [tool.name === 'read' ? 'filePath' : 'file_path']: absolute(path, cwd) } }
}

function shellCall(command: string, tools: readonly Tool[]): Call | null {
  const description = 'Work on the task'
  const shapes: Readonly<Record<string, () => Call>> = {
    Bash: () => ({ name: 'Bash', args: { command, description } }),
    run_shell_command: () => ({ name: 'run_shell_command', args: { command, description } }),
    bash: () => ({ name: 'bash', args: { command, description } }),
    exec_command: () => ({ name: 'exec_command', args: { cmd: command } }),
    shell_command: () => ({ name: 'shell_command', args: { command } }),
    shell: () => ({ name: 'shell', args: { command: takesText(tools) ? command : ['bash', '-lc', command] } }),
    // 30 s is the longest it waits: what takes longer would go on behind the model's back.
    exec: () => inCode('exec_command', { cmd: command, yield_time_ms: 30_000 }),
  }
  const name = Object.keys(shapes).find((candidate) => tools.some((tool) => tool.name === candidate))
  return name === undefined ? null : (shapes[name]?.() ?? null)
}

// Our scripted agent's `shell` takes a line, Codex' old one an argv. Only ours has a tool to misbehave.
const takesText = (tools: readonly Tool[]): boolean => tools.some((tool) => tool.name === 'misbehave')

function patchCall(tool: Tool, patch: string): Call {
  return tool.form === 'freeform'
    ? { name: tool.name, freeform: patch }
    : { name: tool.name, args: { [tool.keys[0] ?? 'input']: patch } }
}

/** Codex in code mode has one tool, which takes JavaScript; the others are functions in there. */
const inCode = (name: string, argument: unknown): Call => ({
  name: 'exec',
  freeform: `text(await tools.${name}(${JSON.stringify(argument)}));`,
})

function addPatch(path: string, content: string): string {
  const lines = content.endsWith('\n') ? content.slice(0, -1).split('\n') : content.split('\n')
  return ['*** Begin Patch', `*** Add File: ${path}`, ...lines.map((line) => `+${line}`), '*** End Patch'].join('\n')
}

const absolute = (path: string, cwd: string | null): string =>
  path.startsWith('/') || cwd === null ? path : `${cwd}/${path}`

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const writeScript = (path: string, content: string): string =>
  `mkdir -p -- ${quoted(dirname(path))} && printf %s ${quoted(content)} > ${quoted(path)}`

// Plain sh: a sandbox need not hold perl, python or node. The x guards newlines at the end, which $(…) would eat.
const replaceScript = ({ path, find, with: by }: Replace): string =>
  `sh -c ${quoted(
    't=$(cat -- "$1" && printf x) || exit 1; t=${t%x}; case $t in *"$2"*) ;; *) echo "text not found in $1" >&2; exit 1;; esac; printf %s "${t%%"$2"*}$3${t#*"$2"}" > "$1"',
  )} replace ${quoted(path)} ${quoted(find)} ${quoted(by)}`

const names = (tools: readonly Tool[]): string => tools.map((tool) => tool.name).join(', ') || 'none'

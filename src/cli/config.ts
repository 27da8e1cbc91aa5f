/** config show: the settings in force and, with --origin, where each comes from. config schema: the shape of a file, for editors. A key is never shown. */
import { isRefusal } from '../core/refusal.ts'
import { loadConfig } from '../host/config.ts'
import { answer, type Act } from './context.ts'
import { table } from './format.ts'

export const config: Act = async (context, said) => {
  if (said.args[0] === 'schema') {
    const { jsonSchema } = await import('../host/config-json.ts')
    const schema = jsonSchema(said.args[1] === 'repository' ? 'repository' : 'operator')
    return answer(context, schema, JSON.stringify(schema, null, 2))
  }
  const loaded = await loadConfig({ file: context.paths.configFile, env: context.env })
  if (isRefusal(loaded)) return loaded
  const { origins, notes, file } = loaded
  const withOrigin = said.flag('origin') === true
  const rows = origins.map(({ key, value, origin }) => (withOrigin ? [key, value, origin] : [key, value]))
  const head = withOrigin ? ['setting', 'value', 'from'] : ['setting', 'value']
  const where =
    file === null ? `No file yet at ${context.paths.configFile}; tri-agent init writes one.` : `File: ${file}`
  const text = [where, '', table(head, rows, Number.POSITIVE_INFINITY), ...notes.map((note) => `Note: ${note}`)].join(
    '\n',
  )
  return answer(context, { file, settings: origins, notes }, text)
}

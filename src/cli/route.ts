/** route: which family would take a task, by which rule, and who would review it. Decides nothing: admission asks the same function when the time comes. */
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { reviewPolicy } from '../core/review.ts'
import { leastConfidence, route, type Route, type RoutedTask } from '../core/routing.ts'
import type { KeySource, OperatorSettings } from '../core/setting.ts'
import { kinds, sizes, type Role } from '../core/task.ts'
import { loadConfig } from '../host/config.ts'
import { isStored } from '../host/key-store.ts'
import { findTask } from '../store/task.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { table } from './format.ts'

export const routeTask: Act = async (context, said) => {
  const task = await findRouted(context, said)
  if (isRefusal(task)) return task
  const loaded = await loadConfig({ file: context.paths.configFile, env: context.env })
  if (isRefusal(loaded)) return loaded
  const { families } = loaded.settings
  const usable = Object.keys(families).filter((family) => hasKey(families[family]!.keyFrom, context))
  const roles: Role[] =
    task.kind === 'architect' ? ['architect'] : task.size === 'small' ? ['implementer'] : ['architect', 'implementer']
  const routes = roles.map((role) => ({ role, ...route(task, role, usable) }))
  const author = routes.find(({ role }) => role === 'implementer')?.family ?? null
  const review = author === null ? null : reviewPolicy({ author, usable, kind: task.kind, protectedPaths: [] })
  const explained = said.flag('explain') === true
  const text = [
    ...routes.flatMap((each) => routeText(each, explained, families)),
    review ? `Reviewers: ${review.families.join(', ') || 'none'}; ${review.why}.` : '',
    ...notUsable(families, usable),
  ]
  return answer(context, { usable, routes, review }, text.filter((line) => line !== '').join('\n'))
}

/** Is a key there? Whether it is right, only its provider can say. */
const hasKey = (source: KeySource, { env, paths }: Context): boolean =>
  'env' in source ? Boolean(env[source.env]) : 'stored' in source ? isStored(paths.keys, source.stored) : true

const notUsable = (families: OperatorSettings['families'], usable: readonly string[]): string[] => {
  const rest = Object.keys(families).filter((family) => !usable.includes(family))
  if (Object.keys(families).length === 0) return ['No family is configured: tri-agent init']
  return rest.length > 0 ? [`Without a key, so not usable now: ${rest.join(', ')}`] : []
}

function routeText(
  { role, family, rule, confidence, considered, why }: Route & { role: Role },
  explained: boolean,
  families: OperatorSettings['families'],
): string[] {
  const model = family === null || role === 'gate' ? null : families[family]?.models[role]
  const line = `${role === 'architect' ? 'Architect' : 'Implementer'}: ${family ?? 'nobody'}${model ? ` (${model})` : ''}, ${why}, confidence ${confidence}.`
  const unsure = confidence < leastConfidence ? [`  Below ${leastConfidence}: say which with --tag family:NAME.`] : []
  if (!explained) return [line, ...unsure]
  const rows = considered.map((each) => [
    each.rule === rule ? '→' : each.fits ? 'fits' : '',
    each.rule,
    String(each.confidence),
    each.families.join(', '),
  ])
  return [
    line,
    ...unsure,
    table(['', 'rule', 'confidence', 'families, first one first'], rows, Number.POSITIVE_INFINITY),
  ]
}

async function findRouted(context: Context, said: Said): Promise<RoutedTask | Refusal> {
  const [named] = said.args
  const title = said.text('title')
  if ((named === undefined) === (title === undefined))
    return refuse(
      'what-task',
      'say one task: its id, or --title',
      'tri-agent route --title "Explain the parser" --kind docs --explain',
    )
  if (named !== undefined)
    return withDatabase(context, (database) => database.read((reader) => findTask(reader, named)))
  return {
    kind: kinds.find((each) => each === said.text('kind')) ?? 'feature',
    size: sizes.find((each) => each === said.text('size')) ?? 'small',
    title: title!,
    text: '',
    tags: said.texts('tag'),
    plan: null,
  }
}

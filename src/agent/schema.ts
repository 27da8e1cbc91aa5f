/**
 * A JSON schema as OpenAI's strict mode wants it: every property required, nothing additional, and only the keywords it knows; any other is answered
 * with 400. The answer is held to the whole schema by the caller, so nothing is lost by leaving keywords out.
 */
import { fieldsOf, isFields } from './field.ts'

const kept = new Set(['$ref', 'const', 'description', 'enum', 'title', 'type'])

/** The schema in strict form. Keywords hold schemas, lists of schemas or maps of schemas; each is made strict in turn. */
export function strictSchema(schema: object): object {
  const strict: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema)) {
    if (kept.has(keyword)) strict[keyword] = value
    else if (keyword === 'items') strict[keyword] = strictPart(value)
    else if (keyword === 'anyOf' || keyword === 'oneOf')
      strict['anyOf'] = Array.isArray(value) ? value.map(strictPart) : []
    else if (keyword === 'properties' || keyword === '$defs') strict[keyword] = strictMap(fieldsOf(value))
  }
  if ('properties' in strict) {
    strict['required'] = Object.keys(fieldsOf(strict['properties']))
    strict['additionalProperties'] = false
  }
  return strict
}

const strictPart = (part: unknown): unknown => (isFields(part) ? strictSchema(part) : part)

const strictMap = (parts: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, strictPart(part)]))

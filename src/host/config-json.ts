/** The shapes of both files as JSON Schema, for editors that complete and check YAML while one types. What is wrong is still decided by config-schema.ts. */
import * as z from 'zod'
import { operatorSchema, repositorySchema } from './config-schema.ts'

export const schemaNames = ['operator', 'repository'] as const
export type SchemaName = (typeof schemaNames)[number]

/** One file's schema as a JSON value. */
export const jsonSchema = (name: SchemaName): Record<string, unknown> => ({
  ...describe(name === 'operator' ? operatorSchema : repositorySchema),
  title: name === 'operator' ? 'Settings of tri-agent' : 'tri-agent.yaml',
})

/**
 * What a person writes, where it differs from what comes out: a quantity is a text or a number, one word stands for a list of one, one model for all
 * three roles, and a credential is what it was before it was read.
 */
function describe(schema: z.core.$ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, {
    io: 'output',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema: written }) {
      if (!(zodSchema instanceof z.ZodPipe)) return
      const { in: before, out: after } = zodSchema
      if (before instanceof z.ZodTransform) {
        const { $schema: _, ...whole } = describe(after)
        for (const key of Object.keys(written)) delete written[key]
        written.anyOf = [{ type: 'string' }, whole]
      } else if (after instanceof z.ZodTransform)
        if (before instanceof z.ZodUnknown) Object.assign(written, { type: ['string', 'number'] })
        else {
          const { $schema: _, ...whole } = describe(before)
          Object.assign(written, whole)
        }
    },
  })
}

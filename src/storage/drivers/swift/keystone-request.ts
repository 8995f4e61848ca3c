import type { SettingProblem } from '../../../kit/settings.ts'
import type { SwiftSettings } from './settings.ts'

/**
 * The body of `POST /v3/auth/tokens` (Identity API v3, "Authentication and token management"), as JSON: password, token or
 * application credential; scoped to a project or a trust, or to whatever is the user's default.
 */
export function keystoneRequest(values: SwiftSettings): string | SettingProblem {
  const identity = identityOf(values)
  if (isProblem(identity)) return identity
  // an application credential brings its project with it
  const scope = 'application_credential' in identity ? undefined : scopeOf(values)
  return JSON.stringify({ auth: { identity, ...(scope === undefined ? {} : { scope }) } })
}

type Json = Record<string, unknown>

function isProblem(value: Json | SettingProblem): value is SettingProblem {
  return 'message' in value
}

function identityOf(values: SwiftSettings): Json | SettingProblem {
  const id = values.OS_APPLICATION_CREDENTIAL_ID
  const name = values.OS_APPLICATION_CREDENTIAL_NAME
  if (id !== undefined || name !== undefined) {
    const secret = values.OS_APPLICATION_CREDENTIAL_SECRET
    if (secret === undefined) return missing('OS_APPLICATION_CREDENTIAL_SECRET')
    const which = id === undefined ? { name, user: userOf(values) } : { id }
    return { methods: ['application_credential'], application_credential: { ...which, secret } }
  }
  const { OS_PASSWORD: password, OS_AUTH_TOKEN: token } = values
  if (password === undefined && token !== undefined) return { methods: ['token'], token: { id: token } }
  if (password === undefined) return missing('OS_PASSWORD')
  if (values.OS_USERNAME === undefined && values.OS_USER_ID === undefined) return missing('OS_USERNAME')
  return { methods: ['password'], password: { user: { ...userOf(values), password } } }
}

function userOf(values: SwiftSettings): Json {
  if (values.OS_USER_ID !== undefined) return { id: values.OS_USER_ID }
  return { name: values.OS_USERNAME, domain: domainOf(values.OS_USER_DOMAIN_NAME, values.OS_USER_DOMAIN_ID) }
}

function scopeOf(values: SwiftSettings): Json | undefined {
  if (values.OS_TRUST_ID !== undefined) return { 'OS-TRUST:trust': { id: values.OS_TRUST_ID } }
  if (values.OS_TENANT_ID !== undefined) return { project: { id: values.OS_TENANT_ID } }
  if (values.OS_TENANT_NAME === undefined) return undefined
  const domain = domainOf(
    values.OS_PROJECT_DOMAIN_NAME ?? values.OS_USER_DOMAIN_NAME,
    values.OS_PROJECT_DOMAIN_ID ??
      (values.OS_PROJECT_DOMAIN_NAME === undefined ? values.OS_USER_DOMAIN_ID : undefined),
  )
  return { project: { name: values.OS_TENANT_NAME, domain } }
}

function domainOf(name: string | undefined, id: string | undefined): Json {
  if (id !== undefined) return { id }
  return name === undefined ? { id: 'default' } : { name }
}

function missing(name: string): SettingProblem {
  return {
    code: 'SETTING_MISSING',
    names: [name],
    message: `WALG_SWIFT_PREFIX needs ${name}`,
    hint: `set ${name}, as in the openrc file of the project`,
  }
}

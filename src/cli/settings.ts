/** The merged settings of all rooms; the only reader of the environment and of config files. */
export type Settings = Readonly<Record<string, unknown>>

/** Stored beside every time as `DateFmt` / `date_fmt`; constant, nobody parses by it. */
export const DATE_FORMAT = '%Y-%m-%dT%H:%M:%S.%fZ'

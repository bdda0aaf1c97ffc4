// Reads a series by npm's dicomweb-client, as OHIF and Slim do, and prints what it found: see test_dicomweb_peers.py.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
globalThis.XMLHttpRequest = require('xhr2')
const { api } = require('dicomweb-client')

const [url, studyInstanceUID, seriesInstanceUID, file] = process.argv.slice(2)
const client = new api.DICOMwebClient({ url, singlepart: '' })
const digest = (buffer) => createHash('sha256').update(new Uint8Array(buffer)).digest('hex')
const size = (body) => (Array.isArray(body) ? body[0] : body).byteLength
const first = (instance, tag) => instance[tag].Value[0]

const series = { studyInstanceUID, seriesInstanceUID }
const metadata = await client.retrieveSeriesMetadata(series)
const sopInstanceUID = first(metadata[0], '00080018')
const instance = { ...series, sopInstanceUID }
const count = Number(metadata[0]['00280008']?.Value[0] ?? 1)
const frameNumbers = [...new Set([1, count])]
const stored = first(metadata[0], '00083002')
const octets = [{ mediaType: 'application/octet-stream', transferSyntaxUID: '*' }]
const png = [{ mediaType: 'image/png' }]
const jpeg = [{ mediaType: 'image/jpeg' }]
const native = [{ mediaType: 'application/octet-stream', transferSyntaxUID: '1.2.840.10008.1.2.1' }]

const found = {
  studies: (await client.searchForStudies()).length,
  none: (await client.searchForStudies({ queryParams: { PatientID: 'nobody' } })).length,
  series: (await client.searchForSeries({ studyInstanceUID })).map((each) => first(each, '0020000E')),
  instances: (await client.searchForInstances({ ...series, queryParams: { limit: 2 } })).length,
  uids: metadata.map((each) => first(each, '00080018')),
  alone: (await client.retrieveInstanceMetadata(instance)).map((each) => first(each, '00080018')),
  frameNumbers,
  stored,
  frames: (await client.retrieveInstanceFrames({ ...instance, frameNumbers, mediaTypes: octets })).map(digest),
  native: (await client.retrieveInstanceFrames({ ...instance, frameNumbers, mediaTypes: native })).map(digest),
  whole: digest(await client.retrieveInstance(instance)),
  all: (await client.retrieveSeries(series)).map(digest),
  rendered: size(await client.retrieveInstanceRendered({ ...instance, mediaTypes: png })),
  frame: size(await client.retrieveInstanceFramesRendered({ ...instance, frameNumbers: [1], mediaTypes: jpeg })),
  bulk: (await client.retrieveBulkData({ BulkDataURI: metadata[0]['7FE00010'].BulkDataURI })).map(digest),
}
if (file) {
  const { readFileSync } = await import('node:fs')
  const bytes = readFileSync(file)
  const dataset = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  await client.storeInstances({ datasets: [dataset] })
}
console.log(JSON.stringify(found))

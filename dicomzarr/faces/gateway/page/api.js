/** What the page asks of the gateway beside pixels. Every failure is one sentence that people can read. */

/** A request that failed. */
export class GatewayError extends Error {
  /** @param {number} status of HTTP; 0 where no reply came @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} url @param {RequestInit} [init]
 * @returns {Promise<Response>} a good one
 */
export async function get(url, init) {
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new GatewayError(0, "The gateway does not answer. Is dicomzarr serve still running?");
  }
  if (!response.ok) throw new GatewayError(response.status, await sentence(response));
  return response;
}

/** @param {string} url @param {RequestInit} [init] @returns {Promise<any>} */
export async function getJson(url, init) {
  return (await get(url, init)).json();
}

/** @param {Response} response */
async function sentence(response) {
  const text = (await response.text()).trim();
  try {
    const said = JSON.parse(text);
    return said.error ?? said.message ?? text;
  } catch {
    return text && text.length < 2000 && !text.startsWith("<") ? text : `The gateway answered ${response.status}.`;
  }
}

// What the server is asked, and what it answers: docs/api.md.

const WAIT_AT_MOST = 8; // seconds that a busy server may ask for before its answer is shown as an error
const NO_ANSWER = new Set([408, 502, 504]); // the network was too slow; or a proxy, while the service behind it is away

export class ApiError extends Error {
  // `code` is that of the answer, or "away" where there was none: what was asked may be asked again.
  constructor({ code, message, hint = "", ...rest }, status = 0) {
    super(message);
    Object.assign(this, { code, hint, status, verdict: rest.verdict ?? null, personId: rest.person_id ?? null });
  }

  get away() {
    return this.code === "away";
  }
}

const noAnswer = () => new ApiError({ code: "away", message: "The server does not answer." });

let session = null; // the promise of GET /v1/session

// {role, keys, csrf, model, version}; asked once a page.
export function getSession() {
  session ??= ask("GET", "/v1/session").catch((error) => {
    session = null;
    throw error;
  });
  return session;
}

export const get = (path, query = {}) => ask("GET", withQuery(path, query));
export const remove = (path) => write("DELETE", path);
export const postJson = (path, value) =>
  write("POST", path, { body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

// Sends a form: { picture: Blob, name: "ada" }. What is null is left out. `requestId` makes it once.
export function postForm(path, fields, { requestId, signal } = {}) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) body.append(name, value, value.name ?? "picture.png");
    else if (value !== null && value !== undefined && value !== "") body.append(name, String(value));
  }
  return write("POST", path, { body, signal, headers: requestId ? { "Idempotency-Key": requestId } : {} });
}

export const signIn = (key) => enter({ key });
export const signInWithCode = (code) => enter({ code });

async function enter(shown) {
  await postJson("/v1/session", shown);
  session = null;
}

export async function signOut() {
  await remove("/v1/session");
  session = null;
}

export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

async function write(method, path, options = {}) {
  const send = async () => {
    const { csrf } = await getSession();
    return ask(method, path, { ...options, headers: { ...options.headers, "X-CSRF-Token": csrf } });
  };
  try {
    return await send();
  } catch (error) {
    if (error.code !== "csrf") throw error;
    session = null; // the service was restarted: its tokens are new
    return send();
  }
}

async function ask(method, path, options = {}, tries = 2) {
  const response = await reach(path, { method, credentials: "same-origin", cache: "no-store", ...options });
  if (response.ok) return response.status === 204 ? null : bodyOf(response);
  const wait = Number(response.headers.get("Retry-After") ?? Infinity);
  if ([429, 503].includes(response.status) && tries > 0 && wait <= WAIT_AT_MOST) {
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    return ask(method, path, options, tries - 1);
  }
  throw await errorOf(response);
}

async function reach(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw noAnswer();
  }
  if (NO_ANSWER.has(response.status)) throw noAnswer();
  return response;
}

// Where another answers in the server's place (a proxy, the portal of a network), or the answer breaks off, it is away.
async function bodyOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw noAnswer();
  }
}

async function errorOf(response) {
  const body = await response.json().catch(() => null);
  const known = body?.code ? body : { code: "failed", message: `The server answered ${response.status}.` };
  return new ApiError(known, response.status);
}

// Check-ins on their way to the server. Each is kept in the browser's database, with its request id, before it is sent,
// and taken out once the server has answered: a reload, a flat battery or a server that is away loses none, and the
// server writes none twice, as a retry carries the same id.

import { ApiError, postForm } from "./api.js";

const DATABASE = "firstsight";
const STORE = "check-ins";
const MOST_WAITED = 3 * 24 * 3600; // seconds; the server takes no more
const UNKEPT = "unkept";
const RETRY = 3000; // ms between two tries while the server is away
const RETRY_ONE = 60_000; // ms, where it is there and cannot answer to some

const REFUSED = new Set([400, 413, 422]); // for what was sent
const FOR_OTHER_REASONS = new Set(["gallery", "user", "failed"]); // among them; failed: it was not the server that spoke
const FOR_ALL = new Set(["away", "busy", "storage", "too-many-requests", "unauthorized", "csrf"]); // the next is not tried

export class Queue extends EventTarget {
  // Events: "change" where the number of those who wait changed; "sent" with {item, entry} and "refused" with
  // {item, error} in `detail`, for what was sent from the background.
  #database;
  #sending = new Set(); // request ids under way
  #timer = 0;

  static async open() {
    const queue = new Queue();
    queue.#database = await openDatabase();
    addEventListener("online", () => queue.#flush());
    queue.#schedule(0);
    return queue;
  }

  // Keep a check-in, then send it. Resolves to the server's entry; throws the server's refusal, which is final, or an
  // error for which `willRetry` holds: then it is kept, and sent later. Where the browser can keep nothing, that is said.
  async checkIn(picture, direction) {
    const item = { id: newId(), at: new Date().toISOString(), direction, type: picture.type, bytes: await picture.arrayBuffer() };
    this.#sending.add(item.id);
    const kept = await this.#write((store) => store.put(item)).then(() => true, () => false);
    try {
      return await this.#send(item);
    } catch (error) {
      if (kept || !willRetry(error)) throw error;
      throw new ApiError({ code: UNKEPT, message: "The server cannot answer, and this device can keep nothing." });
    } finally {
      this.#sending.delete(item.id);
      this.#schedule(RETRY);
    }
  }

  async waiting() {
    return this.#read((store) => store.getAll());
  }

  async #send(item) {
    try {
      const picture = new Blob([item.bytes], { type: item.type });
      const fields = { picture, direction: item.direction, waited: Math.min(MOST_WAITED, Math.max(0, (Date.now() - Date.parse(item.at)) / 1000)) };
      const entry = await postForm("/v1/checkins", fields, { requestId: item.id });
      await this.#done(item);
      return entry;
    } catch (error) {
      if (!willRetry(error)) await this.#done(item);
      throw error;
    }
  }

  // Where it cannot be taken out it is sent again, and the server knows it by its id.
  async #done(item) {
    await this.#write((store) => store.delete(item.id)).catch(() => {});
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), delay);
  }

  // Those that wait, in their order. One to which the server cannot answer keeps the others back no longer than itself.
  async #flush() {
    const held = await this.waiting().catch(() => null);
    if (!held) return this.#schedule(RETRY);
    const items = held.filter(({ id }) => !this.#sending.has(id)).sort((one, other) => one.at.localeCompare(other.at));
    this.#tell("change", items.length);
    let left = 0;
    for (const item of items) {
      const error = await this.#sendLater(item);
      if (FOR_ALL.has(error?.code)) return this.#schedule(RETRY);
      if (error) left += 1;
    }
    if (items.length) this.#tell("change", left);
    return left ? this.#schedule(RETRY_ONE) : null;
  }

  // The error after which it is still kept, if there was one.
  async #sendLater(item) {
    this.#sending.add(item.id);
    try {
      this.#tell("sent", { item, entry: await this.#send(item) });
    } catch (error) {
      if (willRetry(error)) return error;
      this.#tell("refused", { item, error });
    } finally {
      this.#sending.delete(item.id);
    }
    return null;
  }

  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  #write(act) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(STORE, "readwrite", { durability: "strict" });
      act(transaction.objectStore(STORE));
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  #read(act) {
    return new Promise((resolve, reject) => {
      const request = act(this.#database.transaction(STORE).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}

// crypto.randomUUID is there over HTTPS and on localhost alone; a picture may be used without either.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Only the server's own refusal of what was sent is final: after any other mishap what was kept stays kept.
export function willRetry(error) {
  if (!(error instanceof ApiError)) return true;
  return error.code !== UNKEPT && !(REFUSED.has(error.status) && !FOR_OTHER_REASONS.has(error.code));
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

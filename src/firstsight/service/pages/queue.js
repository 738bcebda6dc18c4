// Check-ins on their way to the server. Each is kept in the browser's database, with its request id, before it is sent,
// and taken out once the server has answered: a reload, a flat battery or a server that is away loses none, and the
// server writes none twice, as a retry carries the same id.

import { ApiError, postForm } from "./api.js";

const DATABASE = "firstsight";
const STORE = "check-ins";
const MOST_WAITED = 3 * 24 * 3600; // seconds; the server takes no more
const RETRY = 3000; // ms between two tries while the server is away

// What may be asked again later: the server is away, full, or moves to another model, or nobody is signed in.
const PASSING = new Set([
  "away", "busy", "storage", "traces-left", "too-many-requests", "unauthorized", "csrf", "failed",
  "other-model", "model", "missing-extra",
]);

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
      throw new ApiError({ code: "unkept", message: "The server does not answer, and this device can keep nothing." });
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

  async #flush() {
    const items = (await this.waiting()).filter(({ id }) => !this.#sending.has(id));
    this.dispatchEvent(new CustomEvent("change", { detail: items.length }));
    for (const item of items.sort((one, other) => one.at.localeCompare(other.at))) {
      if (!(await this.#sendLater(item))) return this.#schedule(RETRY);
    }
    if (items.length) this.dispatchEvent(new CustomEvent("change", { detail: 0 }));
    return null;
  }

  // Whether the next may be tried.
  async #sendLater(item) {
    this.#sending.add(item.id);
    try {
      this.#tell("sent", { item, entry: await this.#send(item) });
    } catch (error) {
      if (willRetry(error)) return false;
      this.#tell("refused", { item, error });
    } finally {
      this.#sending.delete(item.id);
    }
    return true;
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

// Only the server's own refusal is final: after any other mishap what was kept stays kept.
export const willRetry = (error) => !(error instanceof ApiError) || PASSING.has(error.code);

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

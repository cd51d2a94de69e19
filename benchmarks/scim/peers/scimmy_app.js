// SCIMMY's routers on Express, over maps in memory. What a store of one's own would index is
// indexed here too: ids, userName and displayName.
import { randomUUID, timingSafeEqual } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const expected = Buffer.from(`Bearer ${process.env.PEER_TOKEN}`);

class Store {
  #byId = new Map();
  #byName = new Map();

  constructor(name) {
    this.name = name;
  }

  find(resource) {
    if (resource.id) {
      const found = this.#byId.get(resource.id);
      if (!found) throw new SCIMMY.Types.Error(404, null, `${resource.id} is not known`);
      return found;
    }
    const wanted = this.#wantedName(resource.filter);
    if (wanted !== undefined) {
      const found = this.#byName.get(wanted.toLowerCase());
      return found ? [found] : [];
    }
    const all = [...this.#byId.values()];
    return resource.filter ? resource.filter.match(all) : all;
  }

  save(resource, data) {
    const now = new Date();
    const stored = resource.id ? this.find(resource) : null;
    const taken = this.#byName.get(data[this.name].toLowerCase());
    if (taken && taken !== stored) throw new SCIMMY.Types.Error(409, "uniqueness", "it is taken");
    const created = stored?.meta.created ?? now;
    const saved = { ...data, id: stored?.id ?? randomUUID(), meta: { created, lastModified: now } };
    if (stored) this.#byName.delete(stored[this.name].toLowerCase());
    this.#byId.set(saved.id, saved);
    this.#byName.set(saved[this.name].toLowerCase(), saved);
    return saved;
  }

  remove(resource) {
    const stored = this.find(resource);
    this.#byId.delete(stored.id);
    this.#byName.delete(stored[this.name].toLowerCase());
  }

  // The value of a filter that is nothing but `name eq "…"`.
  #wantedName(filter) {
    if (filter?.length !== 1) return undefined;
    const [condition, ...others] = Object.entries(filter[0]);
    if (others.length || condition[0].toLowerCase() !== this.name.toLowerCase()) return undefined;
    const [operator, value] = condition[1];
    return operator === "eq" && typeof value === "string" ? value : undefined;
  }
}

for (const [type, name] of [["User", "userName"], ["Group", "displayName"]]) {
  const store = new Store(name);
  SCIMMY.Resources.declare(SCIMMY.Resources[type])
    .ingress((resource, data) => store.save(resource, data))
    .egress((resource) => store.find(resource))
    .degress((resource) => store.remove(resource));
}
SCIMMY.Config.set({ patch: true, filter: true });

const app = express();
app.disable("x-powered-by");
app.use("/scim/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    const given = Buffer.from(request.header("Authorization") ?? "");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Error("the token is not known");
    }
    return "identity-provider";
  },
}));
app.listen(Number(process.env.PEER_PORT), "127.0.0.1");

import { router } from "./routers.mjs";

export const { name, policy, install, start } = router({ name: "sglang-router", program: "smg", before: ["launch"], logLevel: "warn" });

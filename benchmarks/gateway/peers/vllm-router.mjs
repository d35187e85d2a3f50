import { router } from "./routers.mjs";

export const { name, policy, install, start } = router({ name: "vllm-router", program: "vllm-router", before: [], logLevel: "warning" });

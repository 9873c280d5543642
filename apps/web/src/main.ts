/** Begins with the app, or with the benchmark where the address asks for it. */

import { settle } from "./isolate";
import { element } from "./page";

await settle();
const token = new URLSearchParams(location.search).get("bench");
if (token === null) {
  (await import("./app")).start();
} else {
  element("draw").hidden = true;
  element("bench").hidden = false;
  await (await import("./bench-page")).start(token);
}

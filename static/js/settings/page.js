// @ts-check
/** The administrators' page: models, limits, audit log. Each part stands by itself if another one fails. */

import { toast } from "../ui/notices.js";
import * as audit from "./audit.js";
import { sentence } from "./fields.js";
import * as limits from "./limits.js";
import * as form from "./provider_form.js";
import * as providers from "./providers.js";

form.prepare(providers.changed);
limits.prepare();
audit.prepare();
for (const part of [providers, limits, audit]) part.load().catch((error) => toast(sentence(error.message), "error"));

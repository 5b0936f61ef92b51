// @ts-check
/** What can be done with a conversation as a whole: rename, export, share, delete. */

import { exportAddress, remove, rename } from "../ui/api.js";
import { copyText } from "../ui/dom.js";
import { confirmed } from "../ui/dialog.js";
import { reason } from "../ui/format.js";
import { toast } from "../ui/notices.js";
import { openShare } from "./share.js";

const FORMATS = /** @type {const} */ ([
  ["markdown", "Markdown"],
  ["json", "JSON"],
  ["html", "HTML"],
]);

/** @param {any} row @param {string} title */
export async function renameTo({ conversation_id }, title) {
  try {
    return await rename(conversation_id, title);
  } catch (error) {
    toast(reason(error), "error");
    throw error;
  }
}

/** Ask, and delete. @param {any} row @returns {Promise<boolean>} whether it is gone */
export function askToDelete({ conversation_id, title }) {
  return confirmed({
    title: "Delete this conversation?",
    text: `“${title || "Untitled"}” is deleted for good, for you and for everybody it is shared with: its messages, and what was said about them. This cannot be undone.`,
    yes: "Delete for good",
    act: () => remove(conversation_id).catch((error) => Promise.reject(error.code === "conversation_unknown" ? Object.assign(error, { message: "It is gone already" }) : error)),
    testid: "delete-dialog",
  });
}

export async function copyLink(conversationId) {
  const link = new URL(`/c/${encodeURIComponent(conversationId)}`, location.href).href;
  try {
    await copyText(link);
    toast("Link copied. It opens for everybody who may see this conversation.", "good");
  } catch {
    toast(`The browser did not allow copying. The link is ${link}`);
  }
}

/**
 * The entries of a conversation's menu.
 * @param {any} row conversation_id, title, role (unknown: the server decides)
 * @param {{onRename: () => void, onDelete: () => void}} hooks
 */
export function actionsOf(row, { onRename, onDelete }) {
  const { conversation_id, role = "owner" } = row;
  const owner = role === "owner";
  const exports = FORMATS.map(([format, name]) => ({ text: `Export as ${name}`, icon: "save", href: exportAddress(conversation_id, format), testid: `export-${format}` }));
  return [
    { text: "Copy link", icon: "link", act: () => copyLink(conversation_id), testid: "menu-copy-link" },
    owner && { text: "Share…", icon: "people", act: () => openShare(conversation_id), testid: "menu-share" },
    owner && { text: "Rename", icon: "pencil", act: onRename, testid: "menu-rename" },
    null,
    ...exports,
    owner && null,
    owner && { text: "Delete…", icon: "trash", act: onDelete, danger: true, testid: "menu-delete" },
  ].filter((each) => each !== false);
}

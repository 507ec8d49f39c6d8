// Live pages: the part that the server renews is morphed into the one on screen, so that selected text, focus and
// opened details stay. Without this script every page works, and is renewed by hand.
"use strict";
(() => {
  const PATIENCE_SECONDS = 8; // without an answer, until the page says so: a busy server takes one or two
  const NO_ANSWER = "(no answer) ";
  const root = document.documentElement;
  const notice = document.getElementById("offline");
  let askedAt = null; // since when no answer came, by a clock that nobody sets

  Idiomorph.defaults.ignoreActiveValue = true;
  Object.assign(Idiomorph.defaults.callbacks, {
    // What charts drew, and what the reader is about to fill in.
    beforeNodeRemoved: (node) => !node.parentElement?.closest("[data-plot]"),
    beforeNodeMorphed: (node) => !(node instanceof Element && node.hasAttribute("data-keep")),
    // Which details the reader opened, and what the reader chose.
    beforeAttributeUpdated: (name, node) =>
      !(name === "open" && node instanceof HTMLDetailsElement) && !(name === "checked" && node.checked !== node.defaultChecked),
  });

  const drawAll = () => document.querySelectorAll("[data-plot]").forEach((element) => window.drawChart?.(element));

  function answered() {
    askedAt = null;
    root.classList.remove("stale");
    notice.hidden = true;
    if (document.title.startsWith(NO_ANSWER)) document.title = document.title.slice(NO_ANSWER.length);
  }

  // What is on screen is old: nothing of it may look as if it were so now.
  function failed(why) {
    const shown = document.getElementById("as-of")?.textContent ?? "an earlier time";
    const text = `${why}: this page shows what was so at ${shown}.`;
    if (notice.textContent !== text) notice.textContent = text; // a screen reader says it once
    root.classList.add("stale");
    notice.hidden = false;
    if (!document.title.startsWith(NO_ANSWER)) document.title = NO_ANSWER + document.title;
  }

  // What the server says of itself where it answers, but not with the page.
  function refusal({ status, responseText }) {
    if (!status) return "No answer from qualitrace";
    if (status === 401 || status === 403) return "qualitrace asks for a token: load the page again";
    const isPage = responseText.trimStart().startsWith("<");
    const said = isPage
      ? new DOMParser().parseFromString(responseText, "text/html").querySelector("#content p")?.textContent
      : responseText;
    return `qualitrace cannot show this page now (${status}). ${(said ?? "").trim().slice(0, 300)}`.replace(/[\s.]+$/, "");
  }

  setInterval(() => {
    if (askedAt !== null && !document.hidden && performance.now() - askedAt > 1000 * PATIENCE_SECONDS) {
      failed("No answer from qualitrace");
    }
  }, 1000);

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden) event.preventDefault(); // nobody looks
    else askedAt ??= performance.now();
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => (detail.successful ? answered() : failed(refusal(detail.xhr))));
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError) return;
    const sent = /data-assets="(\w+)"/.exec(event.detail.serverResponse);
    if (!sent || sent[1] === document.body.dataset.assets || isBeingFilledIn()) return;
    event.detail.shouldSwap = false; // another version's page, which needs its own style and scripts
    location.reload();
  });
  document.addEventListener("htmx:afterSettle", drawAll);
  document.addEventListener("visibilitychange", () => {
    const live = document.querySelector("[data-live]");
    if (document.hidden) askedAt = null; // from here on nobody asks
    else if (live) htmx.trigger(live, "renew");
  });
  // A filter is applied when it is chosen by mouse or finger. By keyboard, the way to the right choice leads over others,
  // and the way out of a field is no choice: there it is the button, or Enter.
  let isByKeyboard = false;
  document.addEventListener("keydown", () => (isByKeyboard = true), true);
  document.addEventListener("pointerdown", () => (isByKeyboard = false), true);
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-submit-on-change]");
    if (form && !isByKeyboard && event.target instanceof HTMLSelectElement) form.requestSubmit();
  });
  document.addEventListener("DOMContentLoaded", () => {
    root.classList.add("renews");
    drawAll();
  });

  function isBeingFilledIn() {
    return [...document.querySelectorAll("form input")].some((input) => input.value !== input.defaultValue);
  }
})();

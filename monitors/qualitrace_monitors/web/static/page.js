// Live pages: the part that the server renews is morphed into the one on screen, so that selected text, focus and
// opened details stay. Without this script every page works, and is renewed by hand.
"use strict";
(() => {
  const notice = document.getElementById("offline");
  let lastAnswer = Date.now();

  Idiomorph.defaults.ignoreActiveValue = true;
  Object.assign(Idiomorph.defaults.callbacks, {
    // What charts drew, and what the reader is about to fill in.
    beforeNodeRemoved: (node) => !node.parentElement?.closest("[data-plot]"),
    beforeNodeMorphed: (node) => !(node instanceof Element && node.hasAttribute("data-keep")),
    // Which details the reader opened.
    beforeAttributeUpdated: (name, node) => !(name === "open" && node instanceof HTMLDetailsElement),
  });

  const drawAll = () => document.querySelectorAll("[data-plot]").forEach((element) => window.drawChart?.(element));

  function answered() {
    lastAnswer = Date.now();
    if (notice) notice.hidden = true;
  }

  function failed() {
    if (!notice) return;
    const seconds = Math.round((Date.now() - lastAnswer) / 1000);
    notice.textContent = `No answer from qualitrace for ${seconds} s: this page shows what was so then.`;
    notice.hidden = false;
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden) event.preventDefault(); // nobody looks
  });
  document.addEventListener("htmx:afterRequest", (event) => (event.detail.successful ? answered() : failed()));
  document.addEventListener("htmx:afterSettle", drawAll);
  document.addEventListener("visibilitychange", () => {
    const live = document.querySelector("[data-live]");
    if (!document.hidden && live) htmx.trigger(live, "renew");
  });
  // A filter is applied when it is changed.
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-submit-on-change]");
    if (form) form.requestSubmit();
  });
  document.addEventListener("DOMContentLoaded", drawAll);
})();

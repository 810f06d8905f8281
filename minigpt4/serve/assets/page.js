// What the page does in the browser alone: keys, copy, the original of an image, camera, downloads, what it remembers.
// `WORDS` (language -> name -> words) is put before it by page.py. It asks no server, and writes texts as texts only.
window.minigpt4 = (() => {
  const at = (selector) => document.querySelector(selector);
  const own = () => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
  const language = () => kept(localStorage, "minigpt4.language") || own();
  const words = () => WORDS[document.documentElement.lang] || WORDS[language()] || WORDS.en;

  function kept(store, key, value) {
    try {
      if (value !== undefined) store.setItem(key, value);
      return store.getItem(key) || "";
    } catch { return ""; }  // a browser that stores nothing: nothing is remembered
  }

  function token() {  // of this tab; whoever shows it finds its conversation again
    const random = [...crypto.getRandomValues(new Uint8Array(32))];
    const made = random.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return kept(sessionStorage, "minigpt4.token") || kept(sessionStorage, "minigpt4.token", made);
  }

  function say(sentence) {  // beside the box, where the server's sentences stand, too
    const place = at("#local p");
    if (!place) return;
    place.textContent = sentence;
    place.hidden = !sentence;
  }

  const NAMES = {  // gradio's own are English, whatever the language
    "#question textarea": "placeholder", "#question [data-testid=upload-button]": "attach",
    "#question [data-testid=submit-button]": "send", "#question input[type=file]": "attach",
    "#question .delete-button": "remove", "#conversation [role=log]": "title", "#camera": "camera", "#dark": "dark",
    "#conversation .message .image-container button": "larger",
  };

  function label() {
    for (const [selector, key] of Object.entries(NAMES)) {
      document.querySelectorAll(selector).forEach((one) => {
        one.setAttribute("aria-label", words()[key]);
        if (one.tagName === "BUTTON") one.title = words()[key];
      });
    }
  }

  function reword(code) {
    document.documentElement.lang = kept(localStorage, "minigpt4.language", code) || code;
    label();
  }

  function dark(on) {
    document.body.classList.toggle("dark", on);
    kept(localStorage, "minigpt4.dark", document.body.classList.contains("dark") ? "1" : "0");
  }

  function started() {
    const wanted = kept(localStorage, "minigpt4.dark");
    if (wanted) dark(wanted === "1");
  }

  function focus() {  // where there is a keyboard; on a phone it would open one
    if (matchMedia("(pointer: fine)").matches && !at("dialog[open]")) at("#question textarea")?.focus();
  }

  function arrived(code) {
    reword(code);
    focus();
    if (at("#conversation .placeholder-content")) at("#conversation [role=log]").scrollTop = 0;
    document.body.dataset.arrived = "yes";
  }

  function save(text, ending, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `minigpt4-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function copy(button) {
    const text = button.closest(".message-content").querySelector(".said").textContent;
    if (navigator.clipboard && isSecureContext) {
      await navigator.clipboard.writeText(text);
    } else {  // plain http from another machine
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  }

  function dialog(kind, ...children) {
    const made = document.createElement("dialog");
    made.className = `minigpt4 ${kind}`;
    made.append(...children);
    made.addEventListener("close", () => made.remove());
    made.addEventListener("click", (event) => { if (event.target === made) made.close(); });
    document.body.append(made);
    made.showModal();
    return made;
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }

  function zoom(image) {
    const original = document.createElement("img");
    original.src = image.src;
    original.alt = image.alt;
    const shown = dialog("zoom", original, button(words().close, () => shown.close()));
    original.addEventListener("click", () => original.classList.toggle("whole"));
  }

  function give(files) {  // into the box, as if they had been chosen there
    const input = at("#question input[type=file]");
    const chosen = new DataTransfer();
    [...files].forEach((file) => chosen.items.add(file));
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function camera() {
    say("");
    if (!navigator.mediaDevices?.getUserMedia || matchMedia("(pointer: coarse)").matches) {
      const input = document.createElement("input");  // a phone's own camera; it works over plain http, too
      Object.assign(input, { type: "file", accept: "image/*", capture: "environment" });
      input.addEventListener("change", () => give(input.files));
      input.click();
      return;
    }
    film().catch((error) => say(words().no_camera.replace("{why}", error.name)));
  }

  async function film() {
    const wanted = { facingMode: "environment", width: { ideal: 1920 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    const video = document.createElement("video");
    Object.assign(video, { srcObject: stream, autoplay: true, muted: true, playsInline: true });
    const take = button(words().take_photo, () => {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => {
        give([new File([blob], "camera.jpg", { type: "image/jpeg" })]);
        shown.close();
        focus();
      }, "image/jpeg", 0.92);
    });
    take.className = "primary";
    take.disabled = true;
    video.addEventListener("loadeddata", () => { take.disabled = false; take.focus(); });
    const shown = dialog("camera", video, take, button(words().close, () => shown.close()));
    shown.addEventListener("close", () => stream.getTracks().forEach((track) => track.stop()));
  }

  document.addEventListener("click", (event) => {
    const image = event.target.closest("#conversation .message .image-container")?.querySelector("img");
    const wanted = event.target.closest("#conversation .copy");
    if (wanted) copy(wanted).catch((error) => say(error.message));
    if (!image) return;
    event.stopPropagation();
    zoom(image);
  }, true);

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("#question textarea");
    if (typing && event.isComposing) event.stopPropagation();  // Enter takes a word of an input method
    else if (event.key === "Enter" && typing) say("");
    else if (event.key === "Escape" && !at("dialog[open]")) at("#stop")?.click();
  }, true);

  for (const kind of ["dragover", "drop"]) {  // an image that misses the box does not take the place of the page
    document.addEventListener(kind, (event) => {
      if (event.target.closest?.("#question") || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      if (kind === "drop") give(event.dataTransfer.files);
    });
  }

  new MutationObserver((changes) => {  // gradio's own complaints vanish in a corner: they are said beside the box, too
    for (const { addedNodes } of changes) for (const node of addedNodes) {
      const toast = node.nodeType === 1 && (node.matches(".toast-body") ? node : node.querySelector(".toast-body"));
      if (node.nodeType === 1 && node.querySelector("button")) label();
      if (toast) say((toast.querySelector(".toast-text") || toast).textContent.trim());
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  return { token, language, reword, dark, started, arrived, focus, save, camera, say };
})();

// Keeps player, words and charts at the same moment. Words arrive as data and become text nodes: nothing that a user
// typed is parsed as HTML. Charts are Streamlit's own, rendered as SVG; a line over each plot marks the moment.
const stages = new WeakMap()

export default function ({ data, parentElement, setStateValue }) {
  let stage = stages.get(parentElement)
  if (!stage) {
    stage = new Stage(parentElement)
    stages.set(parentElement, stage)
  }
  stage.update(data, setStateValue)
  return () => {
    stage.close()
    stages.delete(parentElement)
  }
}

class Stage {
  constructor(root) {
    this.list = root.querySelector("#words")
    this.unseen = root.querySelector("#unseen")
    this.lines = new Map() // chart element -> its line
    this.words = []
    this.spoken = -1
    this.draw = this.draw.bind(this)
    this.seek = this.seek.bind(this)
    this.begin = this.begin.bind(this)
    this.learnLength = this.learnLength.bind(this)
    // Streamlit mounts and replaces players and charts at any time; checking twice a second is enough.
    this.timer = setInterval(this.draw, 500)
    window.addEventListener("resize", this.draw)
  }

  update(data, setStateValue) {
    this.data = data
    this.unseen.textContent = data.unseen
    this.choose = (index) => data.picks && setStateValue("word", index)
    const key = JSON.stringify([data.words, data.chosen])
    if (key !== this.key) {
      this.key = key
      this.words = data.words.map((word, index) => this.button(word, index))
      this.list.replaceChildren(...this.words.flatMap((word) => [word, " "])) // whoever copies the words keeps them apart
      this.spoken = -1
    }
    this.draw()
  }

  button(word, index) {
    const button = document.createElement("button")
    button.type = "button"
    button.dataset.index = index
    button.title = word.hint
    button.setAttribute("aria-label", `${word.text}, ${word.hint}`)
    button.style.backgroundColor = word.colour
    if (this.data.picks) button.setAttribute("aria-pressed", String(index === this.data.chosen))
    if (word.sign) {
      const sign = document.createElement("small")
      sign.textContent = word.sign
      button.append(sign)
    }
    button.append(word.text)
    button.onclick = () => {
      this.go(word.start)
      this.choose(index)
    }
    return button
  }

  // Returns the player of this result; it changes when another clip is chosen.
  find() {
    const video = document.querySelector(`.st-key-${this.data.player} video`)
    if (video !== this.video) {
      this.release()
      this.video = video
      video?.addEventListener("play", this.begin)
      for (const moment of ["timeupdate", "seeking", "seeked"]) video?.addEventListener(moment, this.draw)
      video?.addEventListener("loadedmetadata", this.learnLength)
      if (video?.readyState >= 1) this.learnLength()
      if (video && !video.paused) this.begin()
    }
    return video
  }

  release() {
    this.video?.removeEventListener("play", this.begin)
    for (const moment of ["timeupdate", "seeking", "seeked"]) this.video?.removeEventListener(moment, this.draw)
    this.video?.removeEventListener("loadedmetadata", this.learnLength)
  }

  // A browser's recording has no known length and cannot be seeked until its end has been sought once.
  learnLength() {
    const video = this.video
    if (video.duration !== Infinity) return
    video.addEventListener("durationchange", () => (video.currentTime = 0), { once: true })
    video.currentTime = 1e7
  }

  begin() {
    const frame = () => {
      this.draw()
      if (this.video && !this.video.paused && !this.video.ended && this.timer) requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  }

  go(seconds) {
    const video = this.find()
    if (video) video.currentTime = Math.max(0, seconds) + 0.001
  }

  draw() {
    const video = this.find()
    const now = video ? video.currentTime : 0
    // Browsers that cannot decode a clip's frames play its sound without reporting an error.
    this.unseen.hidden = !video || (!video.error && (video.readyState < 1 || video.videoWidth > 0))
    this.light(now)
    const seen = new Set(document.querySelectorAll(`[class*="st-key-${this.data.charts}"]`))
    for (const [host, line] of this.lines) {
      if (!seen.has(host) || !line.isConnected) this.drop(host)
    }
    for (const host of seen) this.place(host, now)
  }

  light(now) {
    let spoken = -1
    this.data.words.forEach((word, index) => {
      if (word.start <= now && now < Math.max(word.end, word.start + 0.05)) spoken = index
    })
    if (spoken === this.spoken) return
    this.words[this.spoken]?.removeAttribute("aria-current")
    this.spoken = spoken
    const word = this.words[spoken]
    if (!word) return
    word.setAttribute("aria-current", "true")
    const { offsetTop: top, offsetHeight: height } = word
    const { scrollTop, clientHeight } = this.list
    if (top < scrollTop || top + height > scrollTop + clientHeight) this.list.scrollTop = top - height
  }

  place(host, now) {
    const plot = host.querySelector("svg path.background")?.getBoundingClientRect()
    if (!plot || !plot.width) return
    let line = this.lines.get(host)
    if (!line) {
      line = document.createElement("div")
      line.className = "playhead"
      line.setAttribute("aria-hidden", "true")
      Object.assign(line.style, { position: "absolute", width: "2px", pointerEvents: "none", zIndex: 1 })
      if (getComputedStyle(host).position === "static") host.style.position = "relative"
      host.append(line)
      host.addEventListener("click", this.seek)
      this.lines.set(host, line)
    }
    const frame = host.getBoundingClientRect()
    const share = (now - this.data.start) / (this.data.duration - this.data.start)
    line.style.left = `${plot.left - frame.left + share * plot.width - 1}px`
    line.style.top = `${plot.top - frame.top}px`
    line.style.height = `${plot.height}px`
    line.style.background = this.data.colour
    line.hidden = share < 0 || share > 1
  }

  seek(event) {
    const plot = event.currentTarget.querySelector("svg path.background").getBoundingClientRect()
    const share = (event.clientX - plot.left) / plot.width
    const inside = share >= 0 && share <= 1 && event.clientY >= plot.top && event.clientY <= plot.bottom
    if (inside) this.go(this.data.start + share * (this.data.duration - this.data.start))
  }

  drop(host) {
    this.lines.get(host)?.remove()
    this.lines.delete(host)
    host.removeEventListener("click", this.seek)
  }

  close() {
    clearInterval(this.timer)
    this.timer = null
    window.removeEventListener("resize", this.draw)
    this.release()
    for (const host of [...this.lines.keys()]) this.drop(host)
  }
}

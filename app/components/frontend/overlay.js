// Draws the face's box and lines and the running score on the video: a canvas over the player, fed once, so that nothing
// is decoded twice and the page is not rerun while a clip plays.
const overlays = new WeakMap()

export default function ({ data, parentElement }) {
  let overlay = overlays.get(parentElement)
  if (!overlay) {
    overlay = new Overlay(parentElement)
    overlays.set(parentElement, overlay)
  }
  overlay.update(data)
  return () => {
    overlay.close()
    overlays.delete(parentElement)
  }
}

const NO_SCORE = { seconds: [], values: [] }
const MOMENTS = ["play", "timeupdate", "seeked", "loadedmetadata"]

class Overlay {
  constructor(root) {
    this.box = root.querySelector("#on")
    this.text = root.querySelector("#text")
    this.canvas = document.createElement("canvas")
    this.canvas.className = "overlay"
    this.canvas.setAttribute("aria-hidden", "true")
    Object.assign(this.canvas.style, { position: "absolute", pointerEvents: "none", zIndex: 1 })
    this.draw = this.draw.bind(this)
    this.box.onchange = this.draw
    this.timer = setInterval(this.draw, 500) // the player may be mounted or replaced at any time
    window.addEventListener("resize", this.draw)
    window.addEventListener("running-score", this.draw) // of running_score.js
  }

  update(data) {
    this.data = data
    if (data.outline?.points !== this.encoded) {
      this.encoded = data.outline?.points
      this.points = this.encoded && Uint8Array.from(atob(this.encoded), (letter) => letter.charCodeAt(0))
    }
    this.text.textContent = data.label
    this.text.parentElement.hidden = false
    this.draw()
  }

  find() {
    const video = document.querySelector(`.st-key-${this.data.player} video`)
    if (video !== this.video) {
      this.release()
      this.video = video
      for (const moment of MOMENTS) video?.addEventListener(moment, this.draw)
    }
    return video
  }

  release() {
    for (const moment of MOMENTS) this.video?.removeEventListener(moment, this.draw)
    cancelAnimationFrame(this.frame)
  }

  draw() {
    const video = this.find()
    cancelAnimationFrame(this.frame)
    if (!video || !this.box.checked || !video.videoWidth) {
      this.canvas.remove()
      return
    }
    const host = video.parentElement
    if (this.canvas.parentElement !== host) {
      if (getComputedStyle(host).position === "static") host.style.position = "relative"
      host.append(this.canvas)
    }
    this.paint(video)
    if (!video.paused && !video.ended) this.frame = requestAnimationFrame(this.draw)
  }

  paint(video) {
    const { clientWidth: width, clientHeight: height, videoWidth, videoHeight } = video
    const density = window.devicePixelRatio || 1
    const [wide, high] = [Math.round(width * density), Math.round(height * density)]
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high })
    Object.assign(this.canvas.style, {
      left: `${video.offsetLeft}px`,
      top: `${video.offsetTop}px`,
      width: `${width}px`,
      height: `${height}px`,
    })
    const pen = this.canvas.getContext("2d")
    pen.setTransform(density, 0, 0, density, 0, 0)
    pen.clearRect(0, 0, width, height)
    // The video fills the player in one direction only.
    const scale = Math.min(width / videoWidth, height / videoHeight)
    const area = { width: videoWidth * scale, height: videoHeight * scale }
    area.left = (width - area.width) / 2
    area.top = (height - area.height) / 2
    this.face(pen, area, video.currentTime)
    this.score(pen, area, video.currentTime)
  }

  face(pen, area, now) {
    const { seconds, boxes } = this.data.face
    const place = before(seconds, now)
    const box = boxes[place]
    this.canvas.dataset.face = String(Boolean(box))
    if (!box) return
    const [x, y, width, height] = box
    pen.lineWidth = 2
    pen.strokeStyle = this.data.colour
    pen.strokeRect(
      area.left + x * area.width,
      area.top + y * area.height,
      width * area.width,
      height * area.height,
    )
    if (this.points) this.outline(pen, area, box, place)
  }

  outline(pen, area, [x, y, width, height], place) {
    const { count, lines, steps } = this.data.outline
    const [left, top] = [area.left + x * area.width, area.top + y * area.height]
    const [across, down] = [(width * area.width) / steps, (height * area.height) / steps]
    pen.lineWidth = 1.5
    pen.beginPath()
    for (const line of lines) {
      line.forEach((point, index) => {
        const at = 2 * (place * count + point)
        pen[index ? "lineTo" : "moveTo"](left + this.points[at] * across, top + this.points[at + 1] * down)
      })
    }
    pen.stroke()
  }

  score(pen, area, now) {
    const { seconds, values } = window.runningScores?.get(this.data.player) ?? NO_SCORE
    const value = values[before(seconds, now)]
    const shown = value === undefined || value === null ? "" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2)
    this.canvas.dataset.score = shown
    if (!shown) return
    pen.font = "600 18px sans-serif"
    const width = pen.measureText(shown).width + 16
    pen.fillStyle = "rgba(0,0,0,0.65)"
    pen.fillRect(area.left + 8, area.top + 8, width, 28)
    pen.fillStyle = "#ffffff"
    pen.fillText(shown, area.left + 16, area.top + 28)
    // From the middle, which is 0, to the left or to the right.
    pen.fillStyle = value < 0 ? this.data.negative : this.data.positive
    const half = area.width / 2 - 8
    const reach = (half * Math.abs(value)) / this.data.limit
    pen.fillRect(area.left + area.width / 2 - (value < 0 ? reach : 0), area.top + 2, reach, 4)
  }

  close() {
    clearInterval(this.timer)
    window.removeEventListener("resize", this.draw)
    this.release()
    this.canvas.remove()
  }
}

// Returns the index of the last moment that is not after now; -1 before the first.
function before(seconds, now) {
  let low = 0
  let high = seconds.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (seconds[middle] <= now) low = middle + 1
    else high = middle
  }
  return low - 1
}
